"""Files for Linkerd, Kubernetes' gRPC probes and SPIRE, as far as they can be checked without these."""

import copy
import re
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.clients.toolchains import BUILD_TIMEOUT
from tests.deploy.chart import DEPLOY, MANIFESTS, RELEASES, render
from tests.deploy.pod_files import checked_as_the_pod_has_it
from tests.support.health import SERVING, check_health
from tests.support.kubernetes import objects, of_kind, validate
from tests.support.server_process import ServerProcess, write_config

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT)

LINKERD = DEPLOY / "kubernetes" / "linkerd-values.yaml"
PROBES = DEPLOY / "kubernetes" / "grpc-probes.yaml"
SPIRE = DEPLOY / "spire"
SECURITY = (DEPLOY.parent / "SECURITY.md").read_text("utf-8")


@pytest.fixture(scope="module")
def meshed() -> list[dict[str, Any]]:
    return objects(render(values=[LINKERD]))


@pytest.fixture(scope="module")
def plain() -> list[dict[str, Any]]:
    return objects(MANIFESTS.read_text("utf-8"))


@pytest.fixture(scope="module")
def probed() -> dict[str, Any]:
    (deployment,) = objects(PROBES.read_text("utf-8"))
    return deployment


@pytest.mark.parametrize("release", RELEASES)
def test_the_chart_with_the_values_for_linkerd_is_valid(meshed: list[dict[str, Any]], release: str) -> None:
    for each in meshed:
        if each["kind"] in {"Deployment", "Service"}:
            validate(each, release)


def test_the_linkerd_values_disable_injection_and_make_the_grpc_port_opaque(meshed: list[dict[str, Any]]) -> None:
    pod = of_kind(meshed, "Deployment")["spec"]["template"]
    (service,) = [each for each in meshed if each["kind"] == "Service" and each["metadata"]["name"] == "tokend"]
    assert pod["metadata"]["annotations"]["linkerd.io/inject"] == "disabled"
    assert service["spec"]["clusterIP"] == "None"
    (port,) = service["spec"]["ports"]
    assert service["metadata"]["annotations"] == {"config.linkerd.io/opaque-ports": str(port["port"])}


@pytest.mark.parametrize("release", RELEASES[1:])  # gRPC probes are part of Kubernetes since 1.27
def test_a_deployment_with_a_grpc_probe_is_valid(probed: dict[str, Any], release: str) -> None:
    validate(probed, release)


def test_the_probe_of_the_file_finds_a_tokend_that_serves(probed: dict[str, Any], tmp_path: Path) -> None:
    (container,) = probed["spec"]["template"]["spec"]["containers"]
    probe = container["readinessProbe"]["grpc"]
    variables = {each["name"]: each["value"] for each in container["env"]}
    assert variables["TOKEND_GRPC_LISTEN"].endswith(f":{probe['port']}")
    # The ports of a test are free ones, so of the addresses only the hosts are the file's.
    environment = {name: re.sub(r":\d+$", ":0", value) for name, value in variables.items()}
    environment["TOKEND_ISSUER_URL"] = "https://tokens.example.internal"
    with ServerProcess(write_config(tmp_path), environment) as server:
        port = server.endpoint.rpartition(":")[2]
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:  # as a kubelet does
            assert check_health(channel, probe["service"]) == SERVING


#: The TLS settings of the pod of the plain manifests.
OF_TLS = {"tls", "client-ca"}


def test_all_but_tls_and_the_probe_is_as_in_the_plain_manifests(
    plain: list[dict[str, Any]], probed: dict[str, Any]
) -> None:
    expected = copy.deepcopy(of_kind(plain, "Deployment")["spec"])
    expected["template"]["metadata"] = {"labels": expected["selector"]["matchLabels"]}
    pod = expected["template"]["spec"]
    pod["volumes"] = [volume for volume in pod["volumes"] if volume["name"] not in OF_TLS]
    (container,) = pod["containers"]
    container["volumeMounts"] = [mount for mount in container["volumeMounts"] if mount["name"] not in OF_TLS]
    container["env"] = [each for each in container["env"] if "_TLS_" not in each["name"]]
    (ours,) = probed["spec"]["template"]["spec"]["containers"]
    insecure = {"name": "TOKEND_GRPC_INSECURE", "value": "true"}
    assert [each for each in ours["env"] if each != insecure] == container["env"]
    assert insecure in ours["env"]
    container["env"] = ours["env"]
    del container["readinessProbe"]["httpGet"]
    container["readinessProbe"]["grpc"] = ours["readinessProbe"]["grpc"]
    assert probed["spec"] == expected


def test_tokend_takes_the_configuration_where_callers_show_jwts(
    plain: list[dict[str, Any]], probed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = copy.deepcopy(of_kind(plain, "ConfigMap"))
    config = files["data"]["tokend.toml"].replace('["mutual_tls"]', '["jwt"]')
    issuer = 'issuer = "https://login.example.internal"\naudiences = ["tokend"]\nalgorithms = ["RS256"]\n'
    files["data"]["tokend.toml"] = f"{config}[callers.jwt.mesh]\n{issuer}"
    checked = checked_as_the_pod_has_it([files, probed], tmp_path, monkeypatch)
    assert checked.startswith("ok: 1 pool(s), gRPC on 0.0.0.0:50051")


def settings(file: str) -> dict[str, str]:
    return dict(re.findall(r'^ *(\w+) = "?([^"\n]*)"?$', (SPIRE / file).read_text("utf-8"), re.MULTILINE))


def test_the_files_of_spire_are_outside_the_runtime_directory_of_the_unit() -> None:
    unit = (DEPLOY / "systemd" / "tokend.service").read_text("utf-8")
    removed = [f"/run/{name}" for name in re.findall(r"^RuntimeDirectory=(.+)$", unit, re.MULTILINE)]
    assert removed == ["/run/tokend"]
    assert not [path for path in removed if Path(settings("helper.conf")["cert_dir"]).is_relative_to(path)]


def test_the_files_for_spire_name_each_other_rightly() -> None:
    server, agent, helper = (settings(f"{name}.conf") for name in ("server", "agent", "helper"))
    assert agent["trust_domain"] == server["trust_domain"]
    assert agent["server_port"] == server["bind_port"]
    assert helper["agent_address"] == agent["socket_path"]
    files = [
        f"{helper['cert_dir']}/{helper[name]}"
        for name in ("svid_file_name", "svid_key_file_name", "svid_bundle_file_name")
    ]
    named = ["tls_certificate_file", "tls_private_key_file", "tls_client_ca_file"]
    assert [f'{name} = "{file}"' for name, file in zip(named, files, strict=True)] == [
        line for line in SECURITY.splitlines() if "/run/tokend-spire/" in line and " = " in line
    ]
