"""The limits of the contract's fields, by name: a field has the same limits in every request."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from types import MappingProxyType
from typing import Any

from google.protobuf.message import Message

from tokend_client.errors import FieldViolation

_Rule = Callable[[Any], Iterable[str]]

_REQUIRED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "GetOpenIdTokenForDeveloperIdentityRequest": frozenset({"identity_pool_id", "logins"}),
        "LookupDeveloperIdentityRequest": frozenset({"identity_pool_id"}),
        "MergeDeveloperIdentitiesRequest": frozenset(
            {
                "source_user_identifier",
                "destination_user_identifier",
                "developer_provider_name",
                "identity_pool_id",
            }
        ),
        "UnlinkDeveloperIdentityRequest": frozenset(
            {"identity_id", "identity_pool_id", "developer_provider_name", "developer_user_identifier"}
        ),
    }
)


def violations(request: Message) -> tuple[FieldViolation, ...]:
    """Returns all violations of a request, in the words of Cognito's ValidationException."""
    return tuple(_violations(request))


def _violations(request: Any) -> Iterator[FieldViolation]:  # noqa: ANN401 - a message, whose fields are not typed
    required = _REQUIRED[request.DESCRIPTOR.name]
    for field in request.DESCRIPTOR.fields:
        name, value = field.name, getattr(request, field.name)
        if name == "token_duration":
            yield from _to_violations(name, _seconds(value) if request.HasField(name) else ())
        elif not value:
            yield from _to_violations(name, ["Member must not be null"] if name in required else ())
        elif name in _MAPS:
            yield from _of_map(name, value, *_MAPS[name])
        else:
            yield from _to_violations(name, _RULES[name](value))


def _to_violations(field: str, problems: Iterable[str]) -> Iterator[FieldViolation]:
    return (FieldViolation(field, problem) for problem in problems)


def _text(longest: int, pattern: str = r"[\s\S]*") -> _Rule:
    def check(value: str) -> Iterator[str]:
        yield from _at_most(longest, [value], "Member")
        if not re.fullmatch(pattern, value, re.ASCII):
            yield f"Member must satisfy regular expression pattern: {pattern}"

    return check


def _number(least: int, most: int) -> _Rule:
    def check(value: int) -> Iterator[str]:
        if value < least:
            yield f"Member must have value greater than or equal to {least}"
        if value > most:
            yield f"Member must have value less than or equal to {most}"

    return check


def _seconds(duration: Any) -> Iterator[str]:  # noqa: ANN401 - google.protobuf.Duration
    if duration.nanos:
        yield "Member must be a whole number of seconds"
    yield from _number(1, 86_400)(duration.seconds)


def _of_map(
    name: str, entries: Mapping[str, str], most: int, longest_key: int, longest_value: int
) -> Iterator[FieldViolation]:
    yield from _to_violations(name, _at_most(most, [entries], "Map"))
    yield from _to_violations(f"{name}.key", _lengths(longest_key, list(entries)))
    yield from _to_violations(f"{name}.value", _lengths(longest_value, list(entries.values())))


def _lengths(longest: int, values: list[str]) -> Iterator[str]:
    if not all(values):
        yield "Member must have length greater than or equal to 1"
    yield from _at_most(longest, values, "Member")


def _at_most(most: int, values: Iterable[Sized], what: str) -> Iterator[str]:
    if any(len(value) > most for value in values):
        yield f"{what} must have length less than or equal to {most}"


_ID = _text(55, r"[\w-]+:[0-9a-f-]+")
_USER = _text(1024)

_RULES: Mapping[str, _Rule] = MappingProxyType(
    {
        "identity_pool_id": _ID,
        "identity_id": _ID,
        "developer_user_identifier": _USER,
        "source_user_identifier": _USER,
        "destination_user_identifier": _USER,
        "developer_provider_name": _text(128, r"[\w._-]+"),
        "max_results": _number(1, 60),
        "next_token": _text(65_535, r"[\S]+"),
    }
)

#: The maximum number of entries, and the maximum lengths of their keys and values.
_MAPS: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {"logins": (10, 128, 50_000), "principal_tags": (50, 128, 256)}
)
