"""The Helm chart and the plain manifests: valid in each Kubernetes, with settings that tokend takes."""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped] # it has no types
import pytest
import yaml  # type: ignore[import-untyped] # it has no types
from click.testing import CliRunner
from tests.clients.toolchains import BUILD_TIMEOUT, ended
from tests.deploy.chart import CHART, DEPLOY, MANIFESTS, VALUES, render
from tests.deploy.custom_resources import OF_THE_OPERATOR
from tests.support.authority import Authority
from tests.support.helm import helm

from tokend_server.cli.check_config import check_config

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT)

RELEASES = ("1.25", "1.29", "1.33", "1.37")

#: Values beside those of the plain manifests.
VARIANTS: Mapping[str, tuple[str, ...]] = {
    "as the plain manifests": (),
    "by calls that are refused": ("autoscaling.refusedCalls.enabled=true",),
    "a fixed number of servers": ("autoscaling.enabled=false", "replicas=2"),
    "without mutual TLS": ("tls.clientCa.secretName=",),
    "authorities in a config map": ("tls.clientCa.secretName=", "tls.clientCa.configMapName=callers"),
    "by digest, from a private registry": (f"image.digest=sha256:{'0' * 64}", "image.pullSecrets[0].name=pull"),
    "balanced by clients": ("service.headless=true", "service.annotations.a=b"),
    "as small as can be": (
        "serviceAccount.create=false",
        "podDisruptionBudget.enabled=false",
        "networkPolicy.enabled=false",
        "serviceMonitor.enabled=false",
        "prometheusRule.enabled=false",
    ),
    "with a listener of secrets": ("sds.enabled=true", "ports.sds=15012"),
    "placed": (
        "nodeSelector.a=b",
        "priorityClassName=high",
        "podLabels.a=b",
        "podAnnotations.a=b",
        "env[0].name=AWS_REGION",
    ),
}

REFUSED: Mapping[str, str] = {
    "config=": "/config",
    "replicas=0": "/replicas",
    "replica=3": "replica",
    "tls.secretName=": "/tls/secretName",
    "env[0].name=TOKEND_GRPC_LISTEN": "/env/0/name",
    "networkPolicy.callers=null": "/networkPolicy",
    "ports.grpc=443": "/ports/grpc",
    "ports.sds=443": "/ports/sds",
    "sds.enabled=yes": "/sds/enabled",
    "env[0].name=TOKEND_SDS_LISTEN": "/env/0/name",
    "networkPolicy.envoys=null": "/networkPolicy",
    "image.digest=latest": "/image/digest",
    "terminationGracePeriodSeconds=5": "/terminationGracePeriodSeconds",
}


def objects(text: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(text) if each]


def of_kind(found: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (one,) = [each for each in found if each["kind"] == kind]
    return one


@pytest.fixture(scope="module")
def plain() -> list[dict[str, Any]]:
    return objects(MANIFESTS.read_text("utf-8"))


@pytest.fixture(scope="module")
def pod(plain: list[dict[str, Any]]) -> dict[str, Any]:
    spec: dict[str, Any] = of_kind(plain, "Deployment")["spec"]["template"]["spec"]
    return spec


def test_helm_finds_nothing_to_say() -> None:
    linted = ended([str(helm()), "lint", "--strict", str(CHART), "--values", str(VALUES)], CHART)
    assert linted.returncode == 0, linted.stdout
    assert "[WARNING]" not in linted.stdout


def test_the_plain_manifests_are_what_the_chart_renders() -> None:
    assert MANIFESTS.read_text("utf-8") == render()


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_rendered_is_valid_in_each_kubernetes(variant: str) -> None:
    for each in objects(render(*VARIANTS[variant])):
        for release in RELEASES if each["kind"] not in OF_THE_OPERATOR else ():
            kubernetes_validate.validate(each, release, strict=True)


@pytest.mark.parametrize("setting", REFUSED)
def test_values_that_mean_nothing_are_refused(setting: str) -> None:
    command = [str(helm()), "template", "tokend", str(CHART), "--values", str(VALUES), "--set", setting]
    refused = ended(command, CHART)
    assert refused.returncode != 0
    assert REFUSED[setting] in refused.stdout


def test_without_values_the_chart_asks_for_a_configuration() -> None:
    refused = ended([str(helm()), "template", "tokend", str(CHART)], CHART)
    assert refused.returncode != 0
    assert "/config" in refused.stdout


def test_tokend_takes_the_configuration_as_the_pod_has_it(
    plain: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = checked_as_the_pod_has_it(plain, tmp_path, monkeypatch)
    assert checked == "ok: 1 pool(s), gRPC on 0.0.0.0:50051, store postgresql://db.example.internal/tokend\n"


def test_tokend_takes_the_configuration_of_a_listener_of_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = yaml.safe_load(VALUES.read_text("utf-8"))
    values["sds"] = {"enabled": True}
    values["config"] += '[sds]\nkey_set = "keys"\nidentify_by = ["mutual_tls"]\n'
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    command = [str(helm()), "template", "tokend", str(CHART), "--values", str(tmp_path / "values.yaml")]
    rendered = objects("\n".join(each for each in ended(command, CHART).stdout.splitlines() if "symbolic" not in each))
    checked = checked_as_the_pod_has_it(rendered, tmp_path, monkeypatch)
    assert checked.startswith("ok: 1 pool(s)")
    (serving,) = [each for each in rendered if each["kind"] == "Service" and each["metadata"]["name"] == "tokend"]
    assert {each["targetPort"] for each in serving["spec"]["ports"]} == {"grpc", "sds"}
    allowed = of_kind(rendered, "NetworkPolicy")["spec"]["ingress"]
    assert [each["port"] for rule in allowed for each in rule["ports"]] == ["grpc", "sds", "issuer", "ops"]


def checked_as_the_pod_has_it(found: list[dict[str, Any]], directory: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What `tokend check-config` says in the pod of a deployment."""
    pod = of_kind(found, "Deployment")["spec"]["template"]["spec"]
    files = mounted(found, pod, directory)
    (container,) = pod["containers"]
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], variable["value"].replace("/etc/tokend", str(files)))
    checked = CliRunner().invoke(check_config, ["--config", str(files / "tokend.toml")])
    assert checked.exit_code == 0, checked.output
    return checked.output


def mounted(plain: list[dict[str, Any]], pod: dict[str, Any], root: Path) -> Path:
    """The folder /etc/tokend of the pod, with files as its secrets would have."""
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


def test_probes_restart_no_server_for_a_store_that_is_down(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    paths = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}


def test_the_pod_has_no_right_that_it_does_not_use(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not [variable for variable in container["env"] if "valueFrom" in variable]


def test_a_stop_has_time_to_finish_its_calls(pod: dict[str, Any]) -> None:
    (delay, grace) = (
        re.search(rf"`grpc.drain_{name}_seconds` \| `([\d.]+)`", REFERENCE) for name in ("delay", "grace")
    )
    assert delay
    assert grace
    assert pod["terminationGracePeriodSeconds"] >= float(delay[1]) + float(grace[1]) + 15


REFERENCE = (DEPLOY.parent / "configuration.md").read_text("utf-8")


def test_a_changed_configuration_restarts_the_servers() -> None:
    shas = {
        of_kind(objects(text), "Deployment")["spec"]["template"]["metadata"]["annotations"]["tokend/config-sha256"]
        for text in (render(), render("config=other"))
    }
    assert len(shas) == 2


def test_what_selects_pods_fits_them(plain: list[dict[str, Any]]) -> None:
    labels = of_kind(plain, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    services = [each for each in plain if each["kind"] == "Service"]
    selectors = [each["spec"]["selector"] for each in services]
    selectors += [of_kind(plain, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"]]
    selectors += [of_kind(plain, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]]
    assert all(selector.items() <= labels for selector in selectors)
    watched = of_kind(plain, "ServiceMonitor")["spec"]
    assert [
        each["metadata"]["name"]
        for each in services
        if watched["selector"]["matchLabels"].items() <= each["metadata"]["labels"].items()
    ] == ["tokend-ops"]
    assert dict(labels)[watched["jobLabel"]] == "tokend"


def test_the_rules_in_the_cluster_are_those_of_the_file(plain: list[dict[str, Any]]) -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text("utf-8"))
    assert of_kind(plain, "PrometheusRule")["spec"] == rules


def test_the_chart_is_packaged_with_the_rules(tmp_path: Path) -> None:
    packaged = ended([str(helm()), "package", str(CHART), "--destination", str(tmp_path)], CHART)
    assert packaged.returncode == 0, packaged.stdout
    (archive,) = tmp_path.glob("tokend-*.tgz")
    shutil.unpack_archive(archive, tmp_path)
    inside = tmp_path / "tokend" / "files" / "alerts.yaml"
    assert not inside.is_symlink()
    assert inside.read_bytes() == (DEPLOY / "prometheus" / "alerts.yaml").read_bytes()
