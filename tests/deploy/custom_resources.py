"""Schemas of custom resources, from the Go modules of the projects that define them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped] # it has no types
import yaml  # type: ignore[import-untyped] # it has no types
from tests.clients.toolchains import ended, fail, need

#: Kinds of the Prometheus operator in the manifests.
OF_THE_OPERATOR = frozenset({"PrometheusRule", "ServiceMonitor"})

ISTIO_API = "istio.io/api@v1.32.0"

#: Modules, and the files in them that have definitions.
MODULES: Mapping[str, Sequence[str]] = {
    ISTIO_API: ("kubernetes/customresourcedefinitions.gen.yaml",),
    "github.com/cert-manager/cert-manager@v1.19.1": ("deploy/crds/cert-manager.io_certificates.yaml",),
    "github.com/spiffe/spire-controller-manager@v0.6.0": ("config/crd/bases/spire.spiffe.io_clusterspiffeids.yaml",),
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ),
}


def problems(resource: Mapping[str, Any]) -> list[str]:
    """Validates a resource with its schema, and returns the errors; CEL rules and operators' webhooks do not run.

    Raises:
        KeyError: Its kind has no schema.
    """
    schema = _schemas()[resource["apiVersion"], resource["kind"]]
    found = jsonschema.Draft202012Validator(schema).iter_errors(resource)
    return [f"{each.json_path}: {each.message}" for each in found]


@cache
def _schemas() -> Mapping[tuple[str, str], Any]:
    return {
        (f"{definition['spec']['group']}/{version['name']}", definition["spec"]["names"]["kind"]): _whole(
            _strict(version["schema"]["openAPIV3Schema"])
        )
        for definition in _definitions()
        for version in definition["spec"]["versions"]
        if version["served"]
    }


def _definitions() -> Iterator[Any]:
    for module, files in MODULES.items():
        for file in files:
            text = Path(downloaded(module), file).read_text("utf-8")
            yield from (each for each in yaml.load_all(text, yaml.CSafeLoader) if each)


def downloaded(module: str) -> Path:
    """Returns the directory of a Go module, `PATH@VERSION`, which is fetched once per machine."""
    command = [need("go", "the schemas of custom resources"), "mod", "download", "-json", module]
    process = ended(command, Path.home())
    if process.returncode:
        fail(command, process.stdout)
    return Path(json.loads(process.stdout)["Dir"])


def _whole(schema: Any) -> Any:  # noqa: ANN401 - JSON
    """Returns a schema with the fields of every resource, which a definition may omit."""
    return schema | {"properties": {"apiVersion": {}, "kind": {}, "metadata": {}} | schema["properties"]}


def _strict(schema: Any) -> Any:  # noqa: ANN401 - JSON
    """Returns a schema that rejects unknown fields, which Kubernetes would silently drop."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    drops = "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields")
    if drops and schema.get("type") == "object":
        strict = {"additionalProperties": False} | strict
    return strict
