"""YAML 1.2, as the AWS CLI reads it."""

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from tokend_client.tokendctl.errors import InvalidInput
from tokend_client.tokendctl.json_document import JsonObject, to_object


def parse_object(text: str) -> JsonObject:
    """Parses a YAML document that is a mapping. Mappings in it also become `JsonObject`.

    Raises:
        InvalidInput: It is not YAML, not a single document, not a mapping, or has a duplicate key.
    """
    members = to_object(_to_object(_load(text))).members
    return JsonObject(tuple((name, _to_object(value)) for name, value in members))


def _load(text: str) -> object:
    try:
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        # The rest of the error may contain values.
        mark = error.problem_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InvalidInput(f"not valid YAML{place}") from None
    except Exception:  # noqa: BLE001 - ruamel fails in many ways at a value that does not have its tag's form
        raise InvalidInput("not valid YAML") from None


def _to_object(value: object) -> object:
    if not isinstance(value, dict):
        return value
    if not all(isinstance(key, str) for key in value):
        raise InvalidInput("a key is not a string; put quotes around it")
    return JsonObject(tuple(value.items()))
