"""The Helm chart and the plain manifests: valid in each Kubernetes release, with settings that tokend accepts."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # it has no types
from tests.clients.toolchains import BUILD_TIMEOUT, ended
from tests.deploy.chart import CHART, DEPLOY, MANIFESTS, RELEASES, VALUES, render
from tests.deploy.custom_resources import OF_THE_OPERATOR
from tests.deploy.pod_files import checked_as_the_pod_has_it
from tests.support.helm import helm
from tests.support.kubernetes import objects, of_kind, validate

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT)

#: Values in addition to those of the plain manifests.
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
    "with a listener for AWS's SDKs": ("aws.enabled=true", "ports.aws=4566"),
    "listeners that are off share a port": ("ports.sds=50051", "ports.aws=50051"),
    "with files of its own": (
        "extraVolumes[0].name=authorities",
        "extraVolumes[0].configMap.name=authorities",
        "extraVolumeMounts[0].name=authorities",
        "extraVolumeMounts[0].mountPath=/etc/authorities",
    ),
    "a secret whose name has a dot": ("secrets[2]=orders.credentials",),
    "under another name": ("fullnameOverride=tokens",),
    "placed": (
        "nodeSelector.a=b",
        "priorityClassName=high",
        "podLabels.a=b",
        "podAnnotations.a=b",
        "env[0].name=AWS_REGION",
    ),
}


@pytest.fixture(scope="module")
def plain() -> list[dict[str, Any]]:
    return objects(MANIFESTS.read_text("utf-8"))


@pytest.fixture(scope="module")
def pod(plain: list[dict[str, Any]]) -> dict[str, Any]:
    spec: dict[str, Any] = of_kind(plain, "Deployment")["spec"]["template"]["spec"]
    return spec


def test_helm_lint_reports_nothing() -> None:
    linted = ended([str(helm()), "lint", "--strict", str(CHART), "--values", str(VALUES)], CHART)
    assert linted.returncode == 0, linted.stdout
    assert "[WARNING]" not in linted.stdout


def test_the_plain_manifests_are_what_the_chart_renders() -> None:
    assert MANIFESTS.read_text("utf-8") == render()


@pytest.mark.parametrize("variant", VARIANTS)
def test_rendered_manifests_are_valid_in_each_kubernetes_release(variant: str) -> None:
    for each in objects(render(*VARIANTS[variant])):
        for release in RELEASES if each["kind"] not in OF_THE_OPERATOR else ():
            validate(each, release)


#: The addresses of EKS Pod Identity ("Learn how EKS Pod Identity grants pods access to AWS services").
POD_IDENTITY = {"169.254.170.23/32", "fd00:ec2::23/128"}


def test_the_network_policy_allows_only_eks_pod_identity_on_port_80(plain: list[dict[str, Any]]) -> None:
    rules = of_kind(plain, "NetworkPolicy")["spec"]["egress"]
    (peers,) = [rule["to"] for rule in rules if {"port": 80} in rule["ports"]]
    assert {peer["ipBlock"]["cidr"] for peer in peers} == POD_IDENTITY


def test_releases_of_one_namespace_have_nothing_in_common() -> None:
    both = [objects(render(release=release)) for release in ("shop", "shopping")]
    names = [{(each["kind"], each["metadata"]["name"]) for each in found} for found in both]
    assert names[0].isdisjoint(names[1])
    selected, labels = (
        of_kind(found, "Deployment")["spec"][part] for found, part in zip(both, ("selector", "template"), strict=True)
    )
    assert not selected["matchLabels"].items() <= labels["metadata"]["labels"].items()


def test_unready_pods_do_not_block_the_drain_of_a_node() -> None:
    for release, policy in ((RELEASES[0], None), (RELEASES[-1], "AlwaysAllow")):
        budget = of_kind(objects(render(kubernetes=release)), "PodDisruptionBudget")
        validate(budget, release)
        assert budget["spec"].get("unhealthyPodEvictionPolicy") == policy


def test_tokend_accepts_the_configuration_of_the_pod(
    plain: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = checked_as_the_pod_has_it(plain, tmp_path, monkeypatch)
    assert checked == "ok: 1 pool(s), gRPC on 0.0.0.0:50051, store postgresql://db.example.internal/tokend\n"


_AWS_CALLERS = """
[callers]
aws_key_file = "/etc/tokend/secrets/tokend-keys/wrapping.key"
[callers.aws_keys]
checkout = ["TKNDABCDEFGHIJKLMNOP"]
"""

#: Of each listener that is off by default: what it needs in the configuration, and the ports by who may reach them.
LISTENERS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "sds": ('[sds]\nkey_set = "keys"\nidentify_by = ["mutual_tls"]\n', {"callers": "grpc", "envoys": "sds"}),
    "aws": (_AWS_CALLERS, {"callers": "grpc", "awsClients": "aws"}),
}


@pytest.mark.parametrize("listener", LISTENERS)
def test_an_optional_listener_has_valid_configuration_ports_and_network_rules(
    listener: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, ports = LISTENERS[listener]
    values = yaml.safe_load(VALUES.read_text("utf-8"))
    values[listener] = {"enabled": True}
    values["config"] += table
    peers = {name: [{"podSelector": {"matchLabels": {"peer": name}}}] for name in (*ports, "verifiers", "monitoring")}
    values["networkPolicy"] = peers
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    rendered = objects(render(values=[tmp_path / "values.yaml"]))
    checked = checked_as_the_pod_has_it(rendered, tmp_path, monkeypatch)
    assert checked.startswith("ok: 1 pool(s)")
    (serving,) = [each for each in rendered if each["kind"] == "Service" and each["metadata"]["name"] == "tokend"]
    assert {each["targetPort"] for each in serving["spec"]["ports"]} == set(ports.values())
    allowed = {rule["ports"][0]["port"]: rule["from"] for rule in of_kind(rendered, "NetworkPolicy")["spec"]["ingress"]}
    expected = {**ports, "verifiers": "issuer", "monitoring": "ops"}
    assert allowed == {port: peers[name] for name, port in expected.items()}


def test_probes_that_restart_servers_use_livez_and_readiness_uses_readyz(pod: dict[str, Any]) -> None:
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


#: The volume types that the Pod Security Standard `restricted` allows (kubernetes.io, "Pod Security Standards").
RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def test_the_pod_meets_the_restricted_pod_security_standard(pod: dict[str, Any]) -> None:
    assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"}
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["securityContext"]["runAsUser"] > 0
    assert not pod["securityContext"].keys() & {"sysctls", "seLinuxOptions", "windowsOptions", "appArmorProfile"}
    (container,) = pod["containers"]
    assert not [port for port in container["ports"] if "hostPort" in port]
    assert {kind for volume in pod["volumes"] for kind in volume.keys() - {"name"}} <= RESTRICTED_VOLUMES


def test_the_termination_grace_period_exceeds_the_drain_times(pod: dict[str, Any]) -> None:
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


#: The relabeling that gives the targets of a ServiceMonitor the job of the alerts.
JOB_RELABELING = [{"targetLabel": "job", "replacement": "tokend"}]


def test_a_parent_chart_can_include_the_chart_twice_with_aliases_and_conditions(tmp_path: Path) -> None:
    packaged = ended([str(helm()), "package", str(CHART), "--destination", str(tmp_path / "charts")], CHART)
    assert packaged.returncode == 0, packaged.stdout
    names = ("on", "Bank_2", "unused")
    dependencies = [
        {"name": "tokend", "version": "0.1.0", "alias": name, "condition": f"{name}.enabled"} for name in names
    ]
    described = {"apiVersion": "v2", "name": "all", "version": "1.0.0", "dependencies": dependencies}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")
    given = yaml.safe_load(VALUES.read_text("utf-8"))
    values = {name: {**given, "enabled": name != "unused"} for name in names}
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    rendered = ended([str(helm()), "template", "release", str(tmp_path)], tmp_path)
    assert rendered.returncode == 0, rendered.stdout
    found = objects(rendered.stdout)
    deployments = {each["metadata"]["name"]: each["spec"] for each in found if each["kind"] == "Deployment"}
    assert deployments.keys() == {"release-on", "release-bank-2"}
    for each in found:
        if each["kind"] not in OF_THE_OPERATOR:
            validate(each, RELEASES[-1])
    one, other = deployments.values()
    assert not one["selector"]["matchLabels"].items() <= other["template"]["metadata"]["labels"].items()
    monitors = [each["spec"] for each in found if each["kind"] == "ServiceMonitor"]
    assert [each["endpoints"][0]["relabelings"] for each in monitors] == [JOB_RELABELING] * 2
    assert not [each for each in monitors if "jobLabel" in each]


def test_selectors_match_the_labels_of_the_pods(plain: list[dict[str, Any]]) -> None:
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
    assert [each["relabelings"] for each in watched["endpoints"]] == [JOB_RELABELING]


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


#: A value of a label (Kubernetes, "Labels and Selectors").
LABEL_VALUE = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"


def test_a_long_chart_version_renders_valid_labels(tmp_path: Path) -> None:
    version = "0.1.0-add-the-listener-of-secrets.20261130053250.0123456789abcdef+main"
    command = [str(helm()), "package", str(CHART), "--version", version, "--app-version", version]
    packaged = ended([*command, "--destination", str(tmp_path)], CHART)
    assert packaged.returncode == 0, packaged.stdout
    (archive,) = tmp_path.glob("tokend-*.tgz")
    rendered = ended([str(helm()), "template", "tokend", str(archive), "--values", str(VALUES)], CHART)
    assert rendered.returncode == 0, rendered.stdout
    found = objects(rendered.stdout)
    of_pods = of_kind(found, "Deployment")["spec"]["template"]["metadata"]["labels"]
    labels = [*(each["metadata"]["labels"] for each in found), of_pods]
    values = {value for each in labels for value in each.values()}
    assert [value for value in values if not re.fullmatch(LABEL_VALUE, value)] == []
    assert version[:20] in of_pods["app.kubernetes.io/version"]
