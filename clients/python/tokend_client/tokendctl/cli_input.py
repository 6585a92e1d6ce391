"""The input of an operation: the options of the command line over the members of --cli-input-json."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from tokend_client.tokendctl import json_document, paramfile
from tokend_client.tokendctl.errors import InvalidInput
from tokend_client.tokendctl.json_document import JsonObject
from tokend_client.tokendctl.kinds import Kind, Value
from tokend_client.tokendctl.operations import Member

#: A value, or why there is none.
Reading: TypeAlias = Value | InvalidInput

_CLI_INPUT_JSON = "--cli-input-json"


def skeleton(members: Sequence[Member]) -> dict[str, Value]:
    """AWS's sample input: every member with a value that shows its type."""
    return {member.name: member.kind.sample for member in members}


def merge(members: Sequence[Member], options: Mapping[str, str | None], cli_input_json: str | None) -> dict[str, Value]:
    """The fields of a request; an option replaces the whole member of the document.

    Args:
        members: The members that the request may have.
        options: Field names to the text of their options, None where there is no such option.
        cli_input_json: A JSON object with AWS's member names, or a file:// reference to one.

    Raises:
        InvalidInput: With every problem of both sources, and the required members that neither gives.
    """
    try:
        document = _read_document(cli_input_json)
    except InvalidInput as invalid:
        # What is missing cannot be known, so only the options can be reported besides.
        raise InvalidInput(*invalid.problems, *_problems(_from_options(members, options))) from None
    readings = _from_document(members, document) | _from_options(members, options)
    problems = [*_unknown(members, document), *_problems(readings), *_missing(members, readings)]
    if problems:
        raise InvalidInput(*problems)
    return {field: value for field, value in readings.items() if not isinstance(value, InvalidInput)}


def _read_document(cli_input_json: str | None) -> JsonObject:
    if cli_input_json is None:
        return JsonObject(())
    try:
        return json_document.parse_object(paramfile.load(cli_input_json))
    except InvalidInput as invalid:
        raise invalid.within(_CLI_INPUT_JSON) from None


def _from_document(members: Sequence[Member], document: JsonObject) -> dict[str, Reading]:
    readings: dict[str, Reading] = {}
    for member in members:
        values = [value for name, value in document.members if name == member.name]
        if values:
            read = partial(_from_values, member.kind, values)
            readings[member.field] = _attempt(f"{_CLI_INPUT_JSON}: {member.name}", read)
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


def _unknown(members: Sequence[Member], document: JsonObject) -> list[str]:
    known = {member.name for member in members}
    unknown = dict.fromkeys(name for name, _ in document.members if name not in known)
    return [f"{_CLI_INPUT_JSON}: no member is called {name!r}" for name in unknown]


def _missing(members: Sequence[Member], readings: Mapping[str, Reading]) -> list[str]:
    missing = [member.option for member in members if member.required and member.field not in readings]
    return [f"required, but not given: {', '.join(missing)}"] if missing else []
