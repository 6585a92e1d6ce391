"""Kubernetes objects: parsed, and validated with the schemas of its releases."""

from collections.abc import Mapping
from functools import cache
from typing import Any
from unittest import mock

import kubernetes_validate  # type: ignore[import-untyped] # it has no types
import yaml  # type: ignore[import-untyped] # it has no types

#: The library reads all definitions of a release again for each object, 2 MB of JSON: this caches them.
_schema_contents = cache(kubernetes_validate.utils.schema_contents)


def objects(text: str) -> list[dict[str, Any]]:
    """Parses the objects in YAML with libyaml: the Python parser takes ten times as long."""
    return [each for each in yaml.load_all(text, yaml.CSafeLoader) if each]


def of_kind(found: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Returns the only object of a kind."""
    (one,) = [each for each in found if each["kind"] == kind]
    return one


def validate(described: Mapping[str, Any], release: str) -> None:
    """Checks that an object is valid in a release, without unknown fields.

    Raises:
        kubernetes_validate.ValidationError: The object is invalid.
    """
    with mock.patch.object(kubernetes_validate.utils, "schema_contents", _schema_contents):
        kubernetes_validate.validate(described, release, strict=True)
