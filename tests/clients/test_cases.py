"""The conformance cases themselves: well formed, and complete."""

import json
from pathlib import Path

import pytest
from tests.clients.cases import AskToken, Call, load_cases
from tests.clients.matching import expanded, mismatch

from tokend.v1.error_reason_pb2 import ErrorReason

CASES = load_cases()

#: Reasons without a case, and why.
UNSENT = {
    "UNSPECIFIED": "is never sent",
    "CALLER_UNAUTHENTICATED": "belongs to the contract; this release does not send it",
    "CALLER_NOT_ALLOWED": "belongs to the contract; this release does not send it",
    "METADATA_TOO_LARGE": "clients send no metadata of their own",
    "INTERNAL": "a defect, which no request is known to cause",
}


def reasons_of_cases() -> set[str | None]:
    steps = [step for case in CASES for step in case.steps if isinstance(step, (Call, AskToken))]
    return {step.error.reason for step in steps if step.error}


def test_every_reason_that_is_sent_has_a_case() -> None:
    known = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()}  # noqa: SIM118 - an enum's own method
    assert known - UNSENT.keys() == reasons_of_cases() - {None}


def test_there_are_cases_for_everything_else() -> None:
    assert len(CASES) >= 30
    assert len({case.why for case in CASES}) == len(CASES)


@pytest.mark.parametrize(
    "document",
    [
        {"steps": [{"jump": 1}]},
        {"steps": [{"call": "DeleteEverything", "request": {}, "expect": {"response": {}}}]},
        {"steps": [{"call": "LookupDeveloperIdentity", "request": {}, "expect": {}}]},
        {"steps": [{"call": "LookupDeveloperIdentity", "request": {}, "expect": {"error": {"code": "OK"}}}]},
        {"steps": [{"token": "a", "expect": {"token": {"not": "t1"}}}]},
        {"steps": [{"token": "a", "expect": {"token": "t1"}, "with": "ease"}]},
        {"steps": [{"advance": {"source": "a", "seconds": 1}}]},
        {"steps": [{"conductor": "/dance"}]},
        {"steps": [{"count_calls": {"since": "m"}}]},
        {"steps": [], "also": "unknown"},
    ],
    ids=lambda document: json.dumps(document)[:60],
)
def test_what_no_case_can_say_is_refused(document: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    path.write_text(json.dumps({"name": "case", "why": "to fail", **document}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"case\.json"):
        load_cases(tmp_path)


def test_variables_are_put_in() -> None:
    variables = {"run": "ab", "name": "user"}
    document = {"${name}": ["${run}-${name}", {"repeat": "${run}", "times": 3}, 1, None]}
    assert expanded(document, variables) == {"user": ["ab-user", "ababab", 1, None]}
    with pytest.raises(KeyError):
        expanded("${unknown}", variables)


@pytest.mark.parametrize(
    ("expected", "actual", "matches"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"b": 2}, False),
        ({"a": {"absent": True}}, {}, True),
        ({"a": {"absent": True}}, {"a": ""}, True),
        ({"a": {"absent": True}}, {"a": "x"}, False),
        ({"a": "*"}, {"a": "x"}, True),
        ({"a": "*"}, {"a": ""}, False),
        (["x", "y"], ["y", "x"], True),
        (["x", "y"], ["x"], False),
        (["x"], ["x", "x"], False),
        ("x", "x", True),
        ("x", "y", False),
    ],
)
def test_matching(expected: object, actual: object, *, matches: bool) -> None:
    assert (mismatch(expected, actual) is None) is matches
