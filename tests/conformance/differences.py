"""Compares actual values with expectations.

An expectation is JSON that must be equal, except for objects of one of these forms:

    {"in": [...]}        one of these values
    {"like": "a * b"}    a text with anything in the place of each star
    {"maybe": ...}       as a member of an object: equal, or missing
    {"of": [...]}        a list of these texts, in any order; optionally with
    {"some": 2}              only this many of them
    {"but": [...]}           none of these

A member that is expected to be "nothing" must be missing. Only the expected members of an error are compared; a
response has no members but the expected ones.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.conformance.names import Json

ABSENT = "nothing"


class Difference(NamedTuple):
    """One difference; `path` is empty for the whole value."""

    path: str
    expected: Json
    seen: Json


def differences(expected: Json, seen: Json) -> list[Difference]:
    """Returns all differences between the actual and the expected value."""
    if ("error" in expected) != ("error" in seen):
        return [Difference("", summary(expected), summary(seen))]
    if "error" in expected:
        seen = {name: value for name, value in seen.items() if name in expected}
    return list(_compared("", expected, seen))


def summary(answer: Json) -> str:
    """Returns a summary of an answer: the error's code, reason and subject, or the response's own members."""
    if "error" in answer:
        about = [answer[name] for name in ("resource", "fields") if name in answer]
        return " ".join(map(_brief, (answer["code"], answer["error"], *about)))
    members = (f"{name} {_brief(value)}" for name, value in answer.items() if name in _OWN_MEMBERS)
    return ", ".join(members) or "{}"


def is_pattern(expected: Json) -> bool:
    """Reports whether an object has one of these forms."""
    return isinstance(expected, dict) and not expected.keys().isdisjoint({"in", "like", "maybe", "of"})


_OWN_MEMBERS = ("IdentityId", "DeveloperUserIdentifierList", "NextToken")


def _brief(value: Json) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name} {_brief(each)}" for name, each in value.items())
    return ", ".join(map(_brief, value)) if isinstance(value, list) else str(value)


def _compared(path: str, expected: Json, seen: Json) -> Iterator[Difference]:
    if isinstance(expected, dict) and not is_pattern(expected) and isinstance(seen, dict):
        for name in [*expected, *(name for name in seen if name not in expected)]:
            yield from _compared_member(
                f"{path}.{name}".lstrip("."), expected.get(name, ABSENT), seen.get(name, ABSENT)
            )
    elif not _meets(expected, seen):
        yield Difference(path, expected, seen)


def _compared_member(path: str, expected: Json, seen: Json) -> Iterator[Difference]:
    if isinstance(expected, dict) and "maybe" in expected:
        if seen == ABSENT:
            return
        expected = expected["maybe"]
    yield from _compared(path, expected, seen)


def _meets(expected: Json, seen: Json) -> bool:
    match expected:
        case {"in": values}:
            return seen in values
        case {"like": pattern}:
            return isinstance(seen, str) and re.fullmatch(_regular(pattern), seen) is not None
        case {"of": texts}:
            open_texts = set(texts) - set(expected.get("but", ()))
            count = expected.get("some", len(open_texts))
            return isinstance(seen, list) and len(seen) == count == len(set(seen) & open_texts)
        case _:
            return type(expected) is type(seen) and bool(expected == seen)


def _regular(pattern: str) -> str:
    return ".*".join(map(re.escape, pattern.split("*")))
