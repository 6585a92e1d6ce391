"""The Helm chart and the plain manifests: valid in each Kubernetes, with settings that tokend takes."""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # it has no types
from click.testing import CliRunner
from tests.clients.toolchains import BUILD_TIMEOUT, ended
from tests.deploy.chart import CHART, DEPLOY, MANIFESTS, VALUES, render
from tests.deploy.custom_resources import OF_THE_OPERATOR
from tests.support.authority import Authority
from tests.support.helm import helm
from tests.support.kubernetes import objects, validate

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

REFUSED: Mapping[str, str] = {
    "config=": "/config",
    "replicas=0": "/replicas",
    "replica=3": "replica",
    "tls.secretName=": "/tls/secretName",
    "env[0].name=TOKEND_GRPC_LISTEN": "env: TOKEND_GRPC_LISTEN is set by the chart",
    "networkPolicy.callers=null": "/networkPolicy",
    "ports.grpc=443": "/ports/grpc",
    "ports.sds=443": "/ports/sds",
    "sds.enabled=yes": "/sds/enabled",
    "env[0].name=TOKEND_SDS_TLS_CLIENT_CA_FILE": "env: TOKEND_SDS_TLS_CLIENT_CA_FILE is set by the chart",
    "networkPolicy.envoys=null": "/networkPolicy",
    "ports.grpc=null": "/ports",
    "sds=null": "sds",
    "env[0].name=TOKEND_CONFIG": "env: TOKEND_CONFIG is set by the chart",
    "ports.grpc=8080": "ports.issuer: 8080 is that of ports.grpc, and each listener needs its own",
    "autoscaling.minReplicas=11": "autoscaling.minReplicas: 11 is above autoscaling.maxReplicas, 10",
    "tls.clientCa.configMapName=callers": "tls.clientCa: name a secret or a config map",
    "podLabels.app\\.kubernetes\\.io/name=a": "podLabels: app.kubernetes.io/name is set by the chart",
    "podAnnotations.tokend/config-sha256=a": "podAnnotations: tokend/config-sha256 is set by the chart",
    "serviceMonitor.labels.helm\\.sh/chart=a": "serviceMonitor.labels: helm.sh/chart is set by the chart",
    "tls.clientCa.key=ca: crt": "/tls/clientCa/key",
    "secrets={a.b,a-b}": "secrets: a.b and a-b differ by a dot alone, and would have one volume",
    "extraVolumes[0].name=tls": "extraVolumes: tls is the name of a volume of the chart",
    "fullnameOverride=1st": "/fullnameOverride",
    "image.digest=latest": "/image/digest",
    "terminationGracePeriodSeconds=5": "/terminationGracePeriodSeconds",
    "config= ": "/config",
    "serviceMonitor.interval=61s": "/serviceMonitor/interval",
    "serviceMonitor.interval=2m": "/serviceMonitor/interval",
    "serviceMonitor.interval=0s": "/serviceMonitor/interval",
    "tls.secretName=a..b": "/tls/secretName",
    "tls.clientCa.secretName=a.-b": "/tls/clientCa/secretName",
    "tls.clientCa.key=..": "/tls/clientCa/key",
    "tls.clientCa.key=.": "/tls/clientCa/key",
    "secrets={a-.b}": "/secrets/0",
    "serviceAccount.name=a..b": "/serviceAccount/name",
    "autoscaling.refusedCalls.perSecond=1.2.3": "/autoscaling/refusedCalls/perSecond",
    "autoscaling.refusedCalls.perSecond=0.0m": "/autoscaling/refusedCalls/perSecond",
    "env[0].name=a=b": "/env/0/name",
    "env[0].name=a,env[0].value=b,env[0].valueFrom.fieldRef.fieldPath=c": "/env/0",
    "env[0].name=a,env[1].name=b,env[2].name=a,env[3].name=a": "env: a is there more than once",
    "extraVolumes[0].name=a,extraVolumes[1].name=a": "extraVolumes: a is there more than once",
    "extraVolumes[0].name=a_b": "/extraVolumes/0/name",
    "extraVolumeMounts[0].name=tls,extraVolumeMounts[0].mountPath=/a,extraVolumeMounts[1].name=tls,"
    "extraVolumeMounts[1].mountPath=/a": "extraVolumeMounts: /a is there more than once",
    "extraVolumeMounts[0].name=tls,extraVolumeMounts[0].mountPath=/tmp/": "/tmp/ is where the chart has a volume",
    "extraVolumeMounts[0].name=a,extraVolumeMounts[0].mountPath=/a": "extraVolumeMounts: there is no volume a",
    "image.pullSecrets[0].name=a,image.pullSecrets[1].name=a": "/image/pullSecrets",
}

#: The same, of values that `--set` cannot write.
REFUSED_OF_FILES: Sequence[tuple[Mapping[str, Any], str]] = (
    ({"networkPolicy": {"verifiers": [{}]}}, "/networkPolicy/verifiers/0"),
    ({"config": "# one\u2028two"}, r'config: it has the character "\u2028"'),
    ({"config": "# one\u0085two"}, r'config: it has the character "\u0085"'),
)


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
            validate(each, release)


@pytest.mark.parametrize("authorities", [{"secretName": "5", "key": "6"}, {"secretName": "", "configMapName": "5"}])
def test_a_name_may_be_a_number(authorities: Mapping[str, str], tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(
        json.dumps(
            {
                "serviceAccount": {"name": "1"},
                "priorityClassName": "2",
                "secrets": ["3"],
                "tls": {"secretName": "4", "clientCa": authorities},
                "autoscaling": {"refusedCalls": {"enabled": True, "metric": "7"}},
            }
        ),
        encoding="utf-8",
    )
    for each in objects(render(values=[values])):
        if each["kind"] not in OF_THE_OPERATOR:
            validate(each, RELEASES[-1])


@pytest.mark.parametrize("word", ["true", "null", "on", "no"])
def test_another_name_may_be_a_word_of_yaml(word: str, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(json.dumps({"fullnameOverride": word}), encoding="utf-8")
    found = objects(render("autoscaling.enabled=true", values=[values]))
    assert {each["metadata"]["name"] for each in found} == {word, f"{word}-issuer", f"{word}-ops"}
    for each in found:
        if each["kind"] not in OF_THE_OPERATOR:
            validate(each, RELEASES[-1])


@pytest.mark.parametrize("setting", REFUSED)
def test_values_that_mean_nothing_are_refused(setting: str) -> None:
    command = [str(helm()), "template", "tokend", str(CHART), "--values", str(VALUES), "--set", setting]
    refused = ended(command, CHART)
    assert refused.returncode != 0
    assert REFUSED[setting] in refused.stdout


@pytest.mark.parametrize(("values", "problem"), REFUSED_OF_FILES)
def test_values_of_a_file_that_mean_nothing_are_refused(
    values: Mapping[str, Any], problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(json.dumps(values), encoding="utf-8")
    command = [str(helm()), "template", "tokend", str(CHART), "--values", str(VALUES), "--values", str(path)]
    refused = ended(command, CHART)
    assert refused.returncode != 0
    assert problem in refused.stdout


def test_a_configuration_is_the_pods_as_it_was_written(tmp_path: Path) -> None:
    config = "\t[issuer]\n  # \u00e4\U0001f511\n\turl = \"http://a\"  \n\n[log]\nlevel = 'info'\n"
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump({"config": config}, allow_unicode=True), encoding="utf-8")
    assert of_kind(objects(render(values=[path])), "ConfigMap")["data"]["tokend.toml"] == config.lstrip()


def test_a_number_may_be_a_large_one(tmp_path: Path) -> None:
    most = 2**31 - 1
    path = tmp_path / "values.yaml"
    large = {
        "terminationGracePeriodSeconds": most,
        "podDisruptionBudget": {"maxUnavailable": most},
        "autoscaling": {"maxReplicas": most},
    }
    path.write_text(json.dumps(large), encoding="utf-8")
    for each in objects(render(values=[path])):
        if each["kind"] not in OF_THE_OPERATOR:
            validate(each, RELEASES[-1])


@pytest.mark.parametrize("setting", ["autoscaling.enabled=false,replicas", "autoscaling.minReplicas"])
def test_there_may_be_as_many_servers_as_tokend_shares_limits_among(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = objects(render(f"autoscaling.maxReplicas=1000,{setting}=1000"))
    assert checked_as_the_pod_has_it(most, tmp_path, monkeypatch).startswith("ok: ")
    monkeypatch.setenv("TOKEND_LIMITS_REPLICAS", "1001")
    config = tmp_path / "etc" / "tokend" / "tokend.toml"
    assert CliRunner().invoke(check_config, ["--config", str(config)]).exit_code != 0
    command = [str(helm()), "template", "tokend", str(CHART), "--values", str(VALUES)]
    refused = ended([*command, "--set", f"autoscaling.maxReplicas=1001,{setting}=1001"], CHART)
    assert refused.returncode != 0
    assert "eplicas': maximum: got 1,001, want 1,000" in refused.stdout


#: What gives pods their roles on Amazon EKS ("Learn how EKS Pod Identity grants pods access to AWS services").
POD_IDENTITY = {"169.254.170.23/32", "fd00:ec2::23/128"}


def test_servers_may_ask_for_the_role_of_their_pod_and_not_for_that_of_the_node(plain: list[dict[str, Any]]) -> None:
    rules = of_kind(plain, "NetworkPolicy")["spec"]["egress"]
    (peers,) = [rule["to"] for rule in rules if {"port": 80} in rule["ports"]]
    assert {peer["ipBlock"]["cidr"] for peer in peers} == POD_IDENTITY


def test_all_that_is_wrong_with_values_is_said_at_once() -> None:
    settings = "sds.enabled=true,ports.sds=9090,ports.grpc=8080,autoscaling.minReplicas=11"
    command = [str(helm()), "template", "1st", str(CHART), "--values", str(VALUES), "--set", settings]
    refused = ended(command, CHART)
    assert refused.returncode != 0
    for each in ("fullnameOverride: ", "ports.issuer: ", "ports.sds: ", "autoscaling.minReplicas: "):
        assert each in refused.stdout


def test_each_value_is_in_the_schema_and_each_of_the_schema_is_a_value() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    assert set(_named(schema)) - {"global", "enabled"} == set(_given(values, schema))


def _named(schema: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for name, of_it in schema.get("properties", {}).items():
        yield f"{before}{name}"
        yield from _named(of_it, f"{before}{name}.")


def _given(values: Mapping[str, Any], schema: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """The names of values, without those within a value whose members the schema leaves open."""
    for name, value in values.items():
        yield f"{before}{name}"
        of_it = schema.get("properties", {}).get(name, {})
        if isinstance(value, dict) and "properties" in of_it:
            yield from _given(value, of_it, f"{before}{name}.")


@pytest.mark.parametrize("release", ["on", "a" * 53, "a.b", "1st"])
def test_a_release_may_have_any_name_that_helm_takes(release: str) -> None:
    override = ("fullnameOverride=tokens",) if release == "1st" else ()
    found = objects(render(*override, release=release))
    for each in found:
        assert re.fullmatch("[a-z]([a-z0-9-]{0,61}[a-z0-9])?", each["metadata"]["name"])
        assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == release


def test_releases_of_one_namespace_have_nothing_in_common() -> None:
    both = [objects(render(release=release)) for release in ("shop", "shopping")]
    names = [{(each["kind"], each["metadata"]["name"]) for each in found} for found in both]
    assert names[0].isdisjoint(names[1])
    selected, labels = (
        of_kind(found, "Deployment")["spec"][part] for found, part in zip(both, ("selector", "template"), strict=True)
    )
    assert not selected["matchLabels"].items() <= labels["metadata"]["labels"].items()


def test_servers_that_are_not_ready_keep_no_node_from_being_emptied() -> None:
    for release, policy in ((RELEASES[0], None), (RELEASES[-1], "AlwaysAllow")):
        budget = of_kind(objects(render(kubernetes=release)), "PodDisruptionBudget")
        validate(budget, release)
        assert budget["spec"].get("unhealthyPodEvictionPolicy") == policy


def test_no_variable_that_the_chart_sets_can_be_set_beside_it() -> None:
    options = ("sds.enabled=true", "aws.enabled=true")
    (container,) = of_kind(objects(render(*options)), "Deployment")["spec"]["template"]["spec"]["containers"]
    names = [variable["name"] for variable in container["env"]]
    assert len(set(names)) == len(names)
    more = ",".join(f"env[{number}].name={name}" for number, name in enumerate(names))
    refused = ended([str(helm()), "template", "tokend", str(CHART), "--values", str(VALUES), "--set", more], CHART)
    assert [name for name in names if f"env: {name} is set by the chart" not in refused.stdout] == []


def test_without_values_the_chart_asks_for_a_configuration() -> None:
    refused = ended([str(helm()), "template", "tokend", str(CHART)], CHART)
    assert refused.returncode != 0
    assert "/config" in refused.stdout


def test_tokend_takes_the_configuration_as_the_pod_has_it(
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
def test_tokend_takes_the_configuration_of_a_listener_more(
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


#: What a volume of a pod may be by the Pod Security Standard `restricted` (kubernetes.io, "Pod Security Standards").
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


def test_the_pod_fits_the_standard_that_is_most_restricted(pod: dict[str, Any]) -> None:
    assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"}
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["securityContext"]["runAsUser"] > 0
    assert not pod["securityContext"].keys() & {"sysctls", "seLinuxOptions", "windowsOptions", "appArmorProfile"}
    (container,) = pod["containers"]
    assert not [port for port in container["ports"] if "hostPort" in port]
    assert {kind for volume in pod["volumes"] for kind in volume.keys() - {"name"}} <= RESTRICTED_VOLUMES


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


#: What gives the targets of a ServiceMonitor the job of the alerts.
AS_THE_ALERTS_HAVE_IT = [{"targetLabel": "job", "replacement": "tokend"}]


def test_a_chart_may_have_it_twice_by_names_and_conditions_of_its_own(tmp_path: Path) -> None:
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
    assert [each["endpoints"][0]["relabelings"] for each in monitors] == [AS_THE_ALERTS_HAVE_IT] * 2
    assert not [each for each in monitors if "jobLabel" in each]


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
    assert [each["relabelings"] for each in watched["endpoints"]] == [AS_THE_ALERTS_HAVE_IT]


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
