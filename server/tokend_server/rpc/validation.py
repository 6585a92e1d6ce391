"""The limits of every request field, as AWS states them, in one table.

A request is checked whole before any work, so that a caller learns of all its mistakes at once. Texts are in the form
of Cognito's ValidationException, without the values.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any

from google.protobuf.message import Message

from tokend.v1.developer_identity_service_pb2 import (
    GetOpenIdTokenForDeveloperIdentityRequest,
    LookupDeveloperIdentityRequest,
    MergeDeveloperIdentitiesRequest,
    UnlinkDeveloperIdentityRequest,
)
from tokend_server.errors import FieldViolation, ValidationFailed

Check = Callable[[Any], Iterator[FieldViolation]]

_ID_PATTERN = r"[\w-]+:[0-9a-f-]+"
_PROVIDER_NAME_PATTERN = r"[\w._-]+"


def text(field: str, longest: int, *, pattern: str | None = None, required: bool = False) -> Check:
    """A string of 1 to `longest` characters; empty means not given."""
    value_of = attrgetter(field)
    matches = re.compile(pattern or r"[\s\S]*", re.ASCII).fullmatch

    def check(request: Message) -> Iterator[FieldViolation]:
        value = value_of(request)
        if not value:
            if required:
                yield FieldViolation(field, "Member must not be null")
            return
        if len(value) > longest:
            yield FieldViolation(field, f"Member must have length less than or equal to {longest}")
        if not matches(value):
            yield FieldViolation(field, f"Member must satisfy regular expression pattern: {pattern}")

    return check


def mapping(field: str, most: int, *, longest_key: int, longest_value: int, required: bool = False) -> Check:
    """A map of at most `most` entries, whose keys and values have 1 character up to the given number."""
    value_of = attrgetter(field)

    def check(request: Message) -> Iterator[FieldViolation]:
        entries = value_of(request)
        if required and not entries:
            yield FieldViolation(field, "Member must not be null")
        if len(entries) > most:
            yield FieldViolation(field, f"Map must have length less than or equal to {most}")
        yield from _lengths(f"{field}.key", entries.keys(), longest_key)
        yield from _lengths(f"{field}.value", entries.values(), longest_value)

    return check


def _lengths(field: str, values: Any, longest: int) -> Iterator[FieldViolation]:  # noqa: ANN401 - protobuf's map views
    lengths = [len(value) for value in values]
    if lengths and min(lengths) < 1:
        yield FieldViolation(field, "Member must have length greater than or equal to 1")
    if lengths and max(lengths) > longest:
        yield FieldViolation(field, f"Member must have length less than or equal to {longest}")


def whole_seconds(field: str, least: int, most: int) -> Check:
    """A Duration of whole seconds, or not given."""
    value_of = attrgetter(field)

    def check(request: Message) -> Iterator[FieldViolation]:
        if not request.HasField(field):
            return
        duration = value_of(request)
        if duration.nanos:
            yield FieldViolation(field, "Member must be a whole number of seconds")
        if duration.seconds < least:
            yield FieldViolation(field, f"Member must have value greater than or equal to {least}")
        if duration.seconds > most:
            yield FieldViolation(field, f"Member must have value less than or equal to {most}")

    return check


def number(field: str, least: int, most: int) -> Check:
    """An integer; 0 means not given."""
    value_of = attrgetter(field)

    def check(request: Message) -> Iterator[FieldViolation]:
        value = value_of(request)
        if value and value < least:
            yield FieldViolation(field, f"Member must have value greater than or equal to {least}")
        if value > most:
            yield FieldViolation(field, f"Member must have value less than or equal to {most}")

    return check


LIMITS: Mapping[type[Message], tuple[Check, ...]] = {
    GetOpenIdTokenForDeveloperIdentityRequest: (
        text("identity_pool_id", 55, pattern=_ID_PATTERN, required=True),
        text("identity_id", 55, pattern=_ID_PATTERN),
        mapping("logins", 10, longest_key=128, longest_value=50_000, required=True),
        mapping("principal_tags", 50, longest_key=128, longest_value=256),
        whole_seconds("token_duration", 1, 86_400),
    ),
    LookupDeveloperIdentityRequest: (
        text("identity_pool_id", 55, pattern=_ID_PATTERN, required=True),
        text("identity_id", 55, pattern=_ID_PATTERN),
        text("developer_user_identifier", 1024),
        number("max_results", 1, 60),
        text("next_token", 65_535, pattern=r"[\S]+"),
    ),
    MergeDeveloperIdentitiesRequest: (
        text("source_user_identifier", 1024, required=True),
        text("destination_user_identifier", 1024, required=True),
        text("developer_provider_name", 128, pattern=_PROVIDER_NAME_PATTERN, required=True),
        text("identity_pool_id", 55, pattern=_ID_PATTERN, required=True),
    ),
    UnlinkDeveloperIdentityRequest: (
        text("identity_id", 55, pattern=_ID_PATTERN, required=True),
        text("identity_pool_id", 55, pattern=_ID_PATTERN, required=True),
        text("developer_provider_name", 128, pattern=_PROVIDER_NAME_PATTERN, required=True),
        text("developer_user_identifier", 1024, required=True),
    ),
}


def check_limits(request: Message) -> None:
    """Checks every field of a request.

    Raises:
        ValidationFailed: Fields break their limits; it names all of them.
    """
    violations = [violation for check in LIMITS[type(request)] for violation in check(request)]
    if violations:
        raise ValidationFailed(violations)
