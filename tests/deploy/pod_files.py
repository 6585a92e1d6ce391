"""The files of a pod as mounted by its deployment, and tokend's check of its configuration there."""

import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.support.authority import Authority
from tests.support.kubernetes import of_kind

from tokend_server.cli.check_config import check_config


def checked_as_the_pod_has_it(found: list[dict[str, Any]], directory: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Returns the output of `tokend check-config` in the pod of a deployment."""
    pod = of_kind(found, "Deployment")["spec"]["template"]["spec"]
    files = mounted(found, pod, directory)
    (container,) = pod["containers"]
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], variable["value"].replace("/etc/tokend", str(files)))
    checked = CliRunner().invoke(check_config, ["--config", str(files / "tokend.toml")])
    assert checked.exit_code == 0, checked.output
    return checked.output


def mounted(plain: list[dict[str, Any]], pod: dict[str, Any], root: Path) -> Path:
    """Creates the directory /etc/tokend of the pod, with files in place of its secrets."""
    authority = Authority("example")
    server = authority.server("127.0.0.1")
    contents = {
        "tls": {"tls.crt": server.certificate, "tls.key": server.private_key},
        "client-ca": {"ca.crt": authority.certificate},
        "secret-tokend-db": {"ca.pem": authority.certificate, "password": b"password\n"},
        "secret-tokend-keys": {"wrapping.key": os.urandom(32).hex().encode()},
        "config": {"tokend.toml": of_kind(plain, "ConfigMap")["data"]["tokend.toml"].encode()},
    }
    etc = root / "etc" / "tokend"
    for mount in pod["containers"][0]["volumeMounts"]:
        for name, content in contents.get(mount["name"], {}).items():
            path = root / mount["mountPath"].lstrip("/") / ("" if "subPath" in mount else name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.replace(b"/etc/tokend", str(etc).encode()))
            path.chmod(0o400)
    return etc
