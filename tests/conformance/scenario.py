"""The scenario: the calls, step by step, and the expectations. README.md describes its format."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.conformance.differences import is_pattern
from tests.conformance.names import Json, mapped, numbered, numbers_in, with_ranges

SCENARIO = Path(__file__).parent / "scenario.json"

GET_TOKEN = "GetOpenIdTokenForDeveloperIdentity"
CREATE_GUEST = "CreateGuest"


@dataclass(frozen=True, slots=True)
class Question:
    """The open question about Cognito that a step answers.

    Attributes:
        section_7: The number of the question.
        text: The question.
    """

    section_7: int
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """One call and its expected result.

    Attributes:
        name: The behavior that it shows.
        operation: One of the four, or CreateGuest.
        request: Its members, with placeholders.
        expect: The response or the error, in the format of `differences`, with placeholders.
        remember: Names of members of the response, for later placeholders.
        region: The only region in which it runs; after a `!`, the only one in which it does not.
        certainty: The certainty that Cognito responds like this.
        situation: The row of the local engine's policy table that applies.
        question: The question that it answers.
    """

    name: str
    operation: str
    request: Mapping[str, Json]
    expect: Json
    remember: Mapping[str, str]
    region: str
    certainty: str
    situation: str
    question: Question | None

    def is_for(self, region: str) -> bool:
        """Reports whether it runs in a region."""
        if self.region.startswith("!"):
            return self.region != f"!{region}"
        return self.region in {"", region}


def load(path: Path = SCENARIO) -> tuple[Step, ...]:
    """Reads a scenario.

    Raises:
        ValueError: It is not JSON, or has a duplicate member.
        KeyError: A step lacks a member, or expects an error that the file does not describe.
        TypeError: A step has an unknown member.
    """
    document = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_members)
    steps = [single for raw in document["steps"] for single in _singles(raw)]
    return tuple(_step(raw, _expectation(document["errors"], document["token"], raw)) for raw in steps)


def _singles(raw: Mapping[str, Json]) -> Iterable[Json]:
    """Returns the step for every number of its name's range, which is `${n}` in the rest of it."""
    name = raw["name"]
    for each, number in zip(numbered(name), numbers_in(name) or [""], strict=True):
        yield with_ranges(mapped({**raw, "name": each}, partial(_put, "n", number)))


def _step(raw: Mapping[str, Json], expectation: Json) -> Step:
    given = {member: value for member, value in raw.items() if member not in {"section_7", "question"}}
    question = Question(raw["section_7"], raw["question"]) if {"section_7", "question"} & raw.keys() else None
    defaults = {"remember": {}, "region": "", "certainty": "certain", "situation": ""}
    return Step(**{**defaults, **given, "expect": expectation, "question": question})


def _expectation(errors: Mapping[str, Json], token: Json, raw: Mapping[str, Json]) -> Json:
    expect = raw["expect"]
    if "error" in expect:
        return {**errors[expect["error"]], **expect}
    if raw["operation"] != GET_TOKEN:
        return expect
    own = {"user": raw["request"]["Logins"]["${provider}"], "IdentityId": expect["IdentityId"]}
    for name, value in own.items():
        token = mapped(token, partial(_put, name, value))
    return _overlaid(token, expect)


def _put(name: str, value: str, text: str) -> str:
    return text.replace(f"${{{name}}}", value)


def _overlaid(below: Json, above: Json) -> Json:
    if not isinstance(below, dict) or not isinstance(above, dict) or is_pattern(below):
        return above
    return below | {name: _overlaid(below.get(name), value) for name, value in above.items()}


def _members(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError(f"a member is given twice: {[name for name, _ in pairs]}")
    return members
