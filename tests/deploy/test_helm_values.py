"""Values of the Helm chart: valid and invalid ones."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # it has no types
from click.testing import CliRunner
from tests.clients.toolchains import BUILD_TIMEOUT, ended
from tests.deploy.chart import CHART, RELEASES, VALUES, render
from tests.deploy.custom_resources import OF_THE_OPERATOR
from tests.deploy.pod_files import checked_as_the_pod_has_it
from tests.support.helm import helm
from tests.support.kubernetes import objects, of_kind, validate

from tokend_server.cli.check_config import check_config

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT)

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
    "ports.grpc=8080": "ports.issuer: 8080 is also ports.grpc; each listener needs its own port",
    "autoscaling.minReplicas=11": "autoscaling.minReplicas: 11 is above autoscaling.maxReplicas, 10",
    "tls.clientCa.configMapName=callers": "tls.clientCa: name a secret or a config map",
    "podLabels.app\\.kubernetes\\.io/name=a": "podLabels: app.kubernetes.io/name is set by the chart",
    "podAnnotations.tokend/config-sha256=a": "podAnnotations: tokend/config-sha256 is set by the chart",
    "serviceMonitor.labels.helm\\.sh/chart=a": "serviceMonitor.labels: helm.sh/chart is set by the chart",
    "tls.clientCa.key=ca: crt": "/tls/clientCa/key",
    "secrets={a.b,a-b}": "secrets: a.b and a-b differ only by a dot and would share a volume",
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
    "env[0].name=a,env[1].name=b,env[2].name=a,env[3].name=a": "env: a is set more than once",
    "extraVolumes[0].name=a,extraVolumes[1].name=a": "extraVolumes: a is set more than once",
    "extraVolumes[0].name=a_b": "/extraVolumes/0/name",
    "extraVolumeMounts[0].name=tls,extraVolumeMounts[0].mountPath=/a,extraVolumeMounts[1].name=tls,"
    "extraVolumeMounts[1].mountPath=/a": "extraVolumeMounts: /a is set more than once",
    "extraVolumeMounts[0].name=tls,extraVolumeMounts[0].mountPath=/tmp/": "/tmp/ is a mount path of the chart",
    "extraVolumeMounts[0].name=a,extraVolumeMounts[0].mountPath=/a": "extraVolumeMounts: there is no volume a",
    "image.pullSecrets[0].name=a,image.pullSecrets[1].name=a": "/image/pullSecrets",
}

#: The same, of values that `--set` cannot write.
REFUSED_OF_FILES: Sequence[tuple[Mapping[str, Any], str]] = (
    ({"networkPolicy": {"verifiers": [{}]}}, "/networkPolicy/verifiers/0"),
    ({"config": "# one\u2028two"}, r'config: it contains the character "\u2028"'),
    ({"config": "# one\u0085two"}, r'config: it contains the character "\u0085"'),
)


@pytest.mark.parametrize("authorities", [{"secretName": "5", "key": "6"}, {"secretName": "", "configMapName": "5"}])
def test_names_of_digits_render_valid_manifests(authorities: Mapping[str, str], tmp_path: Path) -> None:
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
def test_a_fullname_override_can_be_a_yaml_keyword(word: str, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(json.dumps({"fullnameOverride": word}), encoding="utf-8")
    found = objects(render("autoscaling.enabled=true", values=[values]))
    assert {each["metadata"]["name"] for each in found} == {word, f"{word}-issuer", f"{word}-ops"}
    for each in found:
        if each["kind"] not in OF_THE_OPERATOR:
            validate(each, RELEASES[-1])


@pytest.mark.parametrize("setting", REFUSED)
def test_invalid_values_are_rejected(setting: str) -> None:
    command = [str(helm()), "template", "tokend", str(CHART), "--values", str(VALUES), "--set", setting]
    refused = ended(command, CHART)
    assert refused.returncode != 0
    assert REFUSED[setting] in refused.stdout


@pytest.mark.parametrize(("values", "problem"), REFUSED_OF_FILES)
def test_invalid_values_of_a_file_are_rejected(values: Mapping[str, Any], problem: str, tmp_path: Path) -> None:
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


def test_large_numbers_render_valid_manifests(tmp_path: Path) -> None:
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
def test_the_maximum_number_of_replicas_is_accepted_and_one_more_is_not(
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


def test_all_problems_of_values_are_reported_at_once() -> None:
    settings = "sds.enabled=true,ports.sds=9090,ports.grpc=8080,autoscaling.minReplicas=11"
    command = [str(helm()), "template", "1st", str(CHART), "--values", str(VALUES), "--set", settings]
    refused = ended(command, CHART)
    assert refused.returncode != 0
    for each in ("fullnameOverride: ", "ports.issuer: ", "ports.sds: ", "autoscaling.minReplicas: "):
        assert each in refused.stdout


def test_the_values_file_and_its_schema_have_the_same_names() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    assert set(_named(schema)) - {"global", "enabled"} == set(_given(values, schema))


def _named(schema: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for name, of_it in schema.get("properties", {}).items():
        yield f"{before}{name}"
        yield from _named(of_it, f"{before}{name}.")


def _given(values: Mapping[str, Any], schema: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Returns the names of values, except those below a value whose members the schema does not define."""
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


def test_env_cannot_override_a_variable_that_the_chart_sets() -> None:
    options = ("sds.enabled=true", "aws.enabled=true")
    (container,) = of_kind(objects(render(*options)), "Deployment")["spec"]["template"]["spec"]["containers"]
    names = [variable["name"] for variable in container["env"]]
    assert len(set(names)) == len(names)
    more = ",".join(f"env[{number}].name={name}" for number, name in enumerate(names))
    refused = ended([str(helm()), "template", "tokend", str(CHART), "--values", str(VALUES), "--set", more], CHART)
    assert [name for name in names if f"env: {name} is set by the chart" not in refused.stdout] == []


def test_without_values_the_missing_configuration_is_reported() -> None:
    refused = ended([str(helm()), "template", "tokend", str(CHART)], CHART)
    assert refused.returncode != 0
    assert "/config" in refused.stdout
