"""Files for Istio, cert-manager, SPIRE and the Prometheus operator: valid by the schemas of these projects."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # it has no types
from tests.clients.toolchains import BUILD_TIMEOUT, ROOT
from tests.deploy.chart import DEPLOY, MANIFESTS
from tests.deploy.custom_resources import OF_THE_OPERATOR, problems
from tests.deploy.mesh_config import problem
from tests.support.kubernetes import objects

from tokend_server.config import load_config

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT)

ISTIO = DEPLOY / "kubernetes" / "istio.yaml"
CERT_MANAGER = DEPLOY / "kubernetes" / "cert-manager.yaml"
SPIRE = DEPLOY / "kubernetes" / "spire.yaml"
MESH = DEPLOY / "kubernetes" / "istio-mesh.yaml"
PAGE = (ROOT / "clients" / "envoy" / "README.md").read_text("utf-8")


def resources() -> list[Any]:
    """Returns each resource as a test's parameter: those of the files that users copy, and of the page."""
    texts = {path.name: path.read_text("utf-8") for path in (ISTIO, CERT_MANAGER, SPIRE, MANIFESTS)}
    texts["README.md"] = "\n---\n".join(re.findall(r"```yaml\n(apiVersion: .*?)```", PAGE, re.DOTALL))
    return [
        pytest.param(resource, id=f"{name}-{resource['kind']}-{resource['metadata']['name']}")
        for name, text in texts.items()
        for resource in objects(text)
        if name != MANIFESTS.name or resource["kind"] in OF_THE_OPERATOR
    ]


@pytest.mark.parametrize("resource", resources())
def test_each_custom_resource_is_valid_by_its_schema(resource: dict[str, Any]) -> None:
    assert problems(resource) == []


@pytest.mark.parametrize("resource", resources())
def test_a_field_that_would_be_dropped_is_a_problem(resource: dict[str, Any]) -> None:
    misspelt = {**resource, "spec": {**resource["spec"], "mistake": 1}}
    (found,) = problems(misspelt)
    assert "'mistake' was unexpected" in found


def mesh_config() -> Any:  # noqa: ANN401 - YAML
    return yaml.safe_load(MESH.read_text("utf-8"))["meshConfig"]


def test_the_mesh_configuration_is_valid_by_its_protobuf_message() -> None:
    assert problem(mesh_config()) is None


def test_an_unknown_field_of_the_mesh_configuration_is_reported() -> None:
    misspelt = mesh_config()
    misspelt["extensionProviders"][0]["envoyExtAuthzGrpc"]["failOpn"] = False
    assert 'no field named "failOpn"' in (problem(misspelt) or "")


def test_the_files_name_each_other_rightly() -> None:
    istio = {(each["kind"], each["metadata"]["name"]): each["spec"] for each in objects(ISTIO.read_text())}
    certificates = {each["metadata"]["name"]: each["spec"] for each in objects(CERT_MANAGER.read_text("utf-8"))}
    (provider,) = mesh_config()["extensionProviders"]
    assert istio["AuthorizationPolicy", "tokend"]["provider"]["name"] == provider["name"]
    host = provider["envoyExtAuthzGrpc"]["service"]
    assert istio["DestinationRule", "tokend"]["host"] == host
    assert host in certificates["tokend"]["dnsNames"]
    spiffe_ids = {each["metadata"]["name"]: each["spec"] for each in objects(SPIRE.read_text("utf-8"))}
    assert spiffe_ids["tokend"]["dnsNameTemplates"] == certificates["tokend"]["dnsNames"]
    (deployment,) = [each for each in objects(MANIFESTS.read_text("utf-8")) if each["kind"] == "Deployment"]
    secrets = [each.get("secret", {}).get("secretName") for each in deployment["spec"]["template"]["spec"]["volumes"]]
    assert certificates["tokend"]["secretName"] in secrets


def test_the_mapping_of_the_page_reads_the_header_of_the_gateway(tmp_path: Path) -> None:
    (mapping,) = re.findall(r"```toml\n(\[ext_authz\.mappings\.istio\].*?)```", PAGE, re.DOTALL)
    pool = "eu-west-1:3f1c2d4e-5a6b-4c7d-8e9f-0a1b2c3d4e5f"
    path = tmp_path / "tokend.toml"
    path.write_text(f'{mapping}\n[pools."{pool}"]\ndeveloper_provider_name = "login.example.internal"\n', "utf-8")
    assert load_config(path).ext_authz.mappings["istio"].user
    (authentication,) = [each for each in objects(ISTIO.read_text()) if "jwtRules" in each["spec"]]
    (claim,) = authentication["spec"]["jwtRules"][0]["outputClaimToHeaders"]
    assert f'header = "{claim["header"]}"' in mapping
