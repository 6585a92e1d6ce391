"""The conformance cases themselves: well formed, and complete."""

import json
from pathlib import Path

import grpc
import pytest
from tests.clients.cases import AskToken, Call, Invalidate, MoveWallClock, Stampede, load_cases
from tests.clients.matching import expanded, mismatch

from tokend.v1.error_reason_pb2 import ErrorReason

CASES = load_cases()

#: Reasons without a case, with explanations.
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


def test_there_are_at_least_30_distinct_cases() -> None:
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
        {"steps": [{"token": "a", "close": True, "until": "open", "expect": {"token": "t1"}}]},
        {"steps": [{"stampede": {"request": {}, "users": 2}}]},
        {"steps": [{"stampede": {"request": {}, "users": 2, "most_at_once": 1, "least_at_once": 1}}]},
        {"steps": [{"invalidate": "t1"}]},
        {"steps": [{"invalidate": "t1", "source": "a", "expect": {"token": "t1"}}]},
        {"steps": [{"move_wall_clock": {"minutes": 1}}]},
        {"steps": [], "server": "another"},
        {"steps": [{"count_calls": {"since": "m"}}]},
        {"steps": [{"judge": {}, "identity_pool_ids": ["p"], "expect": {}}]},
        {"steps": [{"judge": {}, "identity_pool_ids": ["p"], "expect": {"rejected": False}}]},
        {"steps": [{"judge": {"payload": {}}, "identity_pool_ids": ["p"], "expect": {"rejected": True}}]},
        {"steps": [], "also": "unknown"},
    ],
    ids=lambda document: json.dumps(document)[:60],
)
def test_malformed_cases_are_rejected(document: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    path.write_text(json.dumps({"name": "case", "why": "to fail", **document}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"case\.json"):
        load_cases(tmp_path)


def test_cases_have_defaults_for_server_cache_and_timeout(tmp_path: Path) -> None:
    others: dict[str, dict[str, object]] = {
        "plain": {},
        "special": {"server": "replicas", "max_users": 3, "refresh_timeout_seconds": 0},
    }
    for name, members in others.items():
        document = {"name": name, "why": "to show", "steps": [], **members}
        (tmp_path / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
    cases = [(case.server, case.max_users, case.refresh_timeout_seconds) for case in load_cases(tmp_path)]
    assert cases == [("served", 10_000, 60), ("replicas", 3, 0)]


def test_steps_of_outages_and_clocks_are_read(tmp_path: Path) -> None:
    document = {
        "name": "case",
        "why": "to show",
        "steps": [
            {"stampede": {"request": {"a": "${number}"}, "users": 2, "most_at_once": 1}},
            {"invalidate": "t1", "source": "a"},
            {"move_wall_clock": {"seconds": -1.5}},
            {"token": "a", "close": True, "expect": {"error": {"code": "CANCELLED", "reason": None}}},
        ],
    }
    (tmp_path / "case.json").write_text(json.dumps(document), encoding="utf-8")
    stampede, invalidate, move, ask = load_cases(tmp_path)[0].steps
    assert stampede == Stampede({"a": "${number}"}, users=2, most_at_once=1)
    assert invalidate == Invalidate(token="t1", source="a")
    assert move == MoveWallClock(-1.5)
    assert isinstance(ask, AskToken)
    assert ask.close


def test_every_expected_code_downstream_is_that_of_a_status() -> None:
    errors = [step.error for case in CASES for step in case.steps if isinstance(step, AskToken) and step.error]
    codes = {error.downstream for error in errors} - {None}
    assert codes >= {"UNAVAILABLE", "PERMISSION_DENIED", "DEADLINE_EXCEEDED"}
    assert codes <= {code.name for code in grpc.StatusCode}


def test_variables_are_expanded() -> None:
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
def test_mismatch_is_none_only_if_the_actual_value_matches(expected: object, actual: object, *, matches: bool) -> None:
    assert (mismatch(expected, actual) is None) is matches
