"""The input of an operation: the members of a document, overridden by the options of the command line."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from tokend_client.tokendctl import json_document, paramfile, yaml_document
from tokend_client.tokendctl.errors import InvalidInput
from tokend_client.tokendctl.json_document import JsonObject
from tokend_client.tokendctl.kinds import Kind, Value
from tokend_client.tokendctl.operations import Member

#: A value, or the error of a missing one.
Reading: TypeAlias = Value | InvalidInput


@dataclass(frozen=True, slots=True)
class Document:
    """The whole input in one option.

    Attributes:
        option: The name of the option.
        parse: Reads its text. Raises `InvalidInput`.
        text: An object with AWS's member names, or a reference to a file with one.
    """

    option: str
    parse: Callable[[str], JsonObject]
    text: str


def document(cli_input_json: str | None, cli_input_yaml: str | None) -> Document | None:
    """Returns the given document, if there is one.

    Raises:
        InvalidInput: Both are given.
    """
    if cli_input_json is not None and cli_input_yaml is not None:
        raise InvalidInput("--cli-input-json and --cli-input-yaml exclude each other")
    if cli_input_json is not None:
        return Document("--cli-input-json", json_document.parse_object, cli_input_json)
    if cli_input_yaml is not None:
        return Document("--cli-input-yaml", yaml_document.parse_object, cli_input_yaml)
    return None


def merge(members: Sequence[Member], options: Mapping[str, str | None], given: Document | None) -> dict[str, Value]:
    """Returns the fields of a request. An option replaces the whole member of the document.

    Args:
        members: The members that the request may have.
        options: Field names to the text of their options, None for options that are not given.
        given: The document, None if there is none.

    Raises:
        InvalidInput: With every problem of both sources, and the required members that are missing.
    """
    if given is None:
        return _merge(members, options, JsonObject(()), "")
    try:
        content = given.parse(paramfile.load(given.text))
    except InvalidInput as invalid:
        # Missing members are not known then, so only the problems of the options are added.
        problems = _problems(_from_options(members, options))
        raise InvalidInput(*invalid.within(given.option).problems, *problems) from None
    return _merge(members, options, content, given.option)


def _merge(
    members: Sequence[Member], options: Mapping[str, str | None], content: JsonObject, source: str
) -> dict[str, Value]:
    readings = _from_document(members, content, source) | _from_options(members, options)
    problems = [*_unknown(members, content, source), *_problems(readings), *_missing(members, readings)]
    if problems:
        raise InvalidInput(*problems)
    return {field: value for field, value in readings.items() if not isinstance(value, InvalidInput)}


def _from_document(members: Sequence[Member], content: JsonObject, source: str) -> dict[str, Reading]:
    readings: dict[str, Reading] = {}
    for member in members:
        values = [value for name, value in content.members if name == member.name]
        if values:
            readings[member.field] = _attempt(f"{source}: {member.name}", partial(_from_values, member.kind, values))
    return readings


def _from_values(kind: Kind, values: Sequence[object]) -> Value:
    if len(values) > 1:
        raise InvalidInput(f"given {len(values)} times")
    return kind.from_json(values[0])


def _from_options(members: Sequence[Member], options: Mapping[str, str | None]) -> dict[str, Reading]:
    readings: dict[str, Reading] = {}
    for member in members:
        text = options[member.field]
        if text is not None:
            readings[member.field] = _attempt(member.option, partial(_from_option, member.kind, text))
    return readings


def _from_option(kind: Kind, text: str) -> Value:
    return kind.from_text(paramfile.load(text))


def _attempt(place: str, read: Callable[[], Value]) -> Reading:
    try:
        return read()
    except InvalidInput as invalid:
        return invalid.within(place)


def _problems(readings: Mapping[str, Reading]) -> list[str]:
    return [p for reading in readings.values() if isinstance(reading, InvalidInput) for p in reading.problems]


def _unknown(members: Sequence[Member], content: JsonObject, source: str) -> list[str]:
    known = {member.name for member in members}
    unknown = dict.fromkeys(name for name, _ in content.members if name not in known)
    return [f"{source}: unknown member {name!r}" for name in unknown]


def _missing(members: Sequence[Member], readings: Mapping[str, Reading]) -> list[str]:
    missing = [member.option for member in members if member.required and member.field not in readings]
    return [f"the following arguments are required: {', '.join(missing)}"] if missing else []
