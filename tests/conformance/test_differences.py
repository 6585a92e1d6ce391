from typing import Any

import pytest
from tests.conformance.differences import ABSENT, Difference, differences
from tests.conformance.names import UNKNOWN_ID, Names

ALICE = "eu-west-1:0a1b2c3d-0000-4000-8000-00000000000a"
BOB = "eu-west-1:0a1b2c3d-0000-4000-8000-00000000000b"


@pytest.mark.parametrize(
    ("expected", "met", "missed"),
    [
        ("a", "a", "b"),
        (1, 1, True),
        ([], [], ["a"]),
        (["a", "b"], ["a", "b"], ["b", "a"]),
        ({"in": ["a", "b"]}, "b", "c"),
        ({"like": "a (*) c"}, "a (b) c", "a b c"),
        ({"like": "a*"}, "a", ["a"]),
        ({"of": ["a", "b"]}, ["b", "a"], ["a", "c"]),
        ({"of": ["a", "b"]}, ["a", "b"], ["a", "b", "b"]),
        ({"of": ["a", "b", "c"], "some": 2}, ["c", "a"], ["a"]),
        ({"of": ["a", "b", "c"], "some": 2}, ["c", "a"], ["a", "a"]),
        ({"of": ["a", "b", "c"], "but": ["b"]}, ["c", "a"], ["a", "b"]),
        ({"b": {"maybe": "x"}}, {"b": "x"}, {"b": "y"}),
        ({"b": {"maybe": "x"}}, {}, {"c": "x"}),
        ({"b": ABSENT}, {}, {"b": "x"}),
        ({"b": "x"}, {"b": "x"}, {}),
        ({}, {}, {"b": "x"}),
    ],
)
def test_an_expectation_is_met_or_missed(expected: object, met: object, missed: object) -> None:
    assert differences({"member": expected}, {"member": met}) == []
    assert len(differences({"member": expected}, {"member": missed})) == 1


def test_a_difference_names_its_place() -> None:
    found = differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}, "d": 4})
    assert found == [Difference("a.c", 2, 3), Difference("d", ABSENT, 4)]


def test_only_the_expected_members_of_an_error_are_compared() -> None:
    seen = {"error": "X", "code": "NOT_FOUND", "text": "gone"}
    assert differences({"error": "X"}, seen) == []
    assert differences({"error": "X", "text": "away"}, seen) == [Difference("text", "away", "gone")]
    assert differences({"error": "X", "quota": "a"}, seen) == [Difference("quota", "a", ABSENT)]


@pytest.mark.parametrize("swap", [False, True])
def test_an_error_is_no_response(*, swap: bool) -> None:
    answers: list[Any] = [{"IdentityId": "a"}, {"error": "X", "code": "NOT_FOUND"}]
    expected, seen = reversed(answers) if swap else answers
    assert [each.path for each in differences(expected, seen)] == [""]


def test_remembered_values_are_shown_by_their_names() -> None:
    names = Names({"run": "grtvwyzz", "pool": "eu-west-1:9f"})
    names.remember("alice", ALICE)
    seen = {"IdentityId": ALICE, "eu-west-1:9f": [f"{BOB} of eu-west-1:9f", "grtvwyzz-user", "ü" * 1024, 7]}
    shown = [f"{UNKNOWN_ID} of ${{pool}}", "${run}-user", "${ü*1024}", 7]
    assert names.shown(seen) == {"IdentityId": "${alice}", "eu-west-1:9f": shown}


def test_placeholders_are_replaced_by_their_values() -> None:
    names = Names({"run": "grtvwyzz"})
    names.remember("alice", ALICE)
    request = {"${run}": ["${alice}", "${ü*40}", 7]}
    assert names.filled(request) == {"grtvwyzz": [ALICE, "ü" * 40, 7]}


def test_the_first_name_of_an_id_counts() -> None:
    names = Names({})
    names.remember("alice", ALICE)
    names.remember("bob", ALICE)
    assert names.shown(ALICE) == "${alice}"
