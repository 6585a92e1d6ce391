"""YAML 1.2, as the AWS CLI reads it."""

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from tokend_client.tokendctl.errors import InvalidInput
from tokend_client.tokendctl.json_document import JsonObject, to_object


def parse_object(text: str) -> JsonObject:
    """Reads a YAML document that is a mapping; mappings that are members of it become `JsonObject` as well.

    Raises:
        InvalidInput: It is not YAML, not one document, not a mapping, or it gives a key twice.
    """
    members = to_object(_to_object(_load(text))).members
    return JsonObject(tuple((name, _to_object(value)) for name, value in members))


def _load(text: str) -> object:
    try:
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        # What the error says besides may repeat values.
        mark = error.problem_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InvalidInput(f"not valid YAML{place}") from None
    except Exception:  # noqa: BLE001 - ruamel fails in many ways at a value that does not have its tag's form
        raise InvalidInput("not valid YAML") from None


def _to_object(value: object) -> object:
    if not isinstance(value, dict):
        return value
    if not all(isinstance(key, str) for key in value):
        raise InvalidInput("a key is no string; put quotes around it")
    return JsonObject(tuple(value.items()))
