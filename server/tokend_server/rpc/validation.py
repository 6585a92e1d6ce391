"""Limits of request fields, as AWS states them.

All fields of a request are checked before any work, so that the error names all violations. Texts have the form of
Cognito's ValidationException, without the values.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any

from google.protobuf.message import Message

from tokend_server.errors import FieldViolation, ValidationFailed

Violations = tuple[FieldViolation, ...]
Check = Callable[[Any], Violations]

_NONE: Violations = ()


def text(field: str, max_length: int, *, pattern: str = r"[\s\S]*", required: bool = False) -> Check:
    """Returns the check of a string of 1 to `max_length` characters; empty means not given."""
    value_of = attrgetter(field)
    matches = re.compile(pattern, re.ASCII).fullmatch
    absent = _violations(field, {"Member must not be null": required})

    def check(request: Message) -> Violations:
        value = value_of(request)
        if not value:
            return absent
        if len(value) <= max_length and matches(value):
            return _NONE
        return _violations(
            field,
            {
                f"Member must have length less than or equal to {max_length}": len(value) > max_length,
                f"Member must satisfy regular expression pattern: {pattern}": not matches(value),
            },
        )

    return check


def mapping(
    field: str, max_entries: int, *, max_key_length: int, max_value_length: int, required: bool = False
) -> Check:
    """Returns the check of a map of at most `max_entries` entries, with limits of the lengths of keys and values."""
    value_of = attrgetter(field)
    absent = _violations(field, {"Member must not be null": required})

    def check(request: Message) -> Violations:
        entries = value_of(request)
        if not entries:
            return absent
        if len(entries) <= max_entries:
            for key in entries:
                if not (0 < len(key) <= max_key_length and 0 < len(entries[key]) <= max_value_length):
                    break
            else:
                return _NONE
        return (
            *_violations(
                field, {f"Map must have length less than or equal to {max_entries}": len(entries) > max_entries}
            ),
            *_lengths(f"{field}.key", entries.keys(), max_key_length),
            *_lengths(f"{field}.value", entries.values(), max_value_length),
        )

    return check


def _lengths(field: str, values: Iterable[str], max_length: int) -> Violations:
    lengths = [len(value) for value in values]
    return _violations(
        field,
        {
            "Member must have length greater than or equal to 1": min(lengths) < 1,
            f"Member must have length less than or equal to {max_length}": max(lengths) > max_length,
        },
    )


def whole_seconds(field: str, minimum: int, maximum: int) -> Check:
    """Returns the check of a Duration of whole seconds; it may be absent."""
    value_of = attrgetter(field)

    def check(request: Message) -> Violations:
        if not request.HasField(field):
            return _NONE
        duration = value_of(request)
        whole = {"Member must be a whole number of seconds": bool(duration.nanos)}
        return _violations(field, whole | _range_violations(duration.seconds, minimum, maximum))

    return check


def number(field: str, minimum: int, maximum: int) -> Check:
    """Returns the check of an integer; 0 means not given."""
    value_of = attrgetter(field)

    def check(request: Message) -> Violations:
        value = value_of(request)
        return _violations(field, _range_violations(value, minimum, maximum)) if value else _NONE

    return check


def _range_violations(value: int, minimum: int, maximum: int) -> dict[str, bool]:
    return {
        f"Member must have value greater than or equal to {minimum}": value < minimum,
        f"Member must have value less than or equal to {maximum}": value > maximum,
    }


def _violations(field: str, constraints: Mapping[str, bool]) -> Violations:
    """Returns the violations of the constraints whose value is true."""
    return tuple(FieldViolation(field, constraint) for constraint, is_broken in constraints.items() if is_broken)


def check_limits(limits: Iterable[Check], request: Message) -> None:
    """Checks every field of a request.

    Raises:
        ValidationFailed: Fields violate their limits; the error names all of them.
    """
    violations = [violation for check in limits for violation in check(request)]
    if violations:
        raise ValidationFailed(violations)
