"""Objects of Kubernetes: read, and checked by the schemas of its releases."""

from collections.abc import Mapping
from functools import cache
from typing import Any
from unittest import mock

import kubernetes_validate  # type: ignore[import-untyped] # it has no types
import yaml  # type: ignore[import-untyped] # it has no types

#: What the library reads again for each object: all definitions of a release, 2 MB of JSON.
_schema_contents = cache(kubernetes_validate.utils.schema_contents)


def objects(text: str) -> list[dict[str, Any]]:
    """The objects of YAML, read by libyaml: Python's own reader takes ten times as long."""
    return [each for each in yaml.load_all(text, yaml.CSafeLoader) if each]


def of_kind(found: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The one object of a kind."""
    (one,) = [each for each in found if each["kind"] == kind]
    return one


def validate(described: Mapping[str, Any], release: str) -> None:
    """Checks that a release takes an object, and that it knows each of its fields.

    Raises:
        kubernetes_validate.ValidationError: It does not.
    """
    with mock.patch.object(kubernetes_validate.utils, "schema_contents", _schema_contents):
        kubernetes_validate.validate(described, release, strict=True)
