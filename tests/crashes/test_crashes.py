"""The program detects faults, and a few crashes cause none; many crashes take minutes."""

import itertools
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from tests.crashes.crashes import crash, impossible
from tests.linearizability.calls import DEVELOPER, Answer, Call
from tests.linearizability.model import INTERRUPTED, Event, is_explained

from tokend_server.engines.local.stores.sqlite.store import open_store

POOL = "eu-west-1:1"
A, B, C = "eu-west-1:1", "eu-west-1:2", "eu-west-1:3"

TOKEN_OF_A, TOKEN_OF_B = Call("token alone", {DEVELOPER: "a"}), Call("token alone", {DEVELOPER: "b"})
LOOKUP_OF_A, LOOKUP_OF_B = Call("lookup", {"user": "a"}), Call("lookup", {"user": "b"})
MERGE = Call("merge", {"source": "a", "destination": "b"})
UNLINK = Call("unlink", {"user": "a"}, A)

NOT_FOUND: Answer = ("error", "ResourceNotFound")
REGISTERED = ((TOKEN_OF_A, ("identity", A)), (TOKEN_OF_B, ("identity", B)))
APART = ((LOOKUP_OF_A, ("users", A, "a")), (LOOKUP_OF_B, ("users", B, "b")))
TOGETHER = ((LOOKUP_OF_A, ("users", B, "a", "b")), (LOOKUP_OF_B, ("users", B, "a", "b")))


def explained(*calls: tuple[Call, Answer]) -> bool:
    """Returns whether the sequential calls may have these results."""
    time = itertools.count()
    return is_explained(POOL, [Event(call, answer, next(time), next(time)) for call, answer in calls])


@pytest.mark.parametrize("found", [APART, TOGETHER])
def test_a_call_without_an_answer_may_have_taken_effect(found: Sequence[tuple[Call, Answer]]) -> None:
    assert explained(*REGISTERED, (MERGE, INTERRUPTED), *found)


@pytest.mark.parametrize(
    "found",
    [
        ((LOOKUP_OF_A, ("users", A, "a")), (LOOKUP_OF_B, NOT_FOUND)),
        ((LOOKUP_OF_A, NOT_FOUND), (LOOKUP_OF_B, ("users", B, "b"))),
        ((LOOKUP_OF_A, ("users", A, "a")), (LOOKUP_OF_B, ("users", B, "a", "b"))),
    ],
)
def test_a_call_without_an_answer_has_not_taken_half_its_effect(found: Sequence[tuple[Call, Answer]]) -> None:
    assert not explained(*REGISTERED, (MERGE, INTERRUPTED), *found)


def test_a_call_without_an_answer_takes_no_effect_later() -> None:
    assert not explained(*REGISTERED, (MERGE, INTERRUPTED), *APART, *TOGETHER)


def test_the_identity_of_an_interrupted_call_is_the_one_found_later() -> None:
    assert explained((TOKEN_OF_A, INTERRUPTED), (TOKEN_OF_A, ("identity", C)), (LOOKUP_OF_A, ("users", C, "a")))
    assert not explained((TOKEN_OF_A, INTERRUPTED), (LOOKUP_OF_A, ("users", C, "a")), (TOKEN_OF_A, ("identity", A)))


@pytest.mark.parametrize("lost", [(MERGE, ("identity", B)), (UNLINK, ("unlinked",))], ids=["merge", "unlink"])
def test_a_lost_acknowledged_call_is_detected(lost: tuple[Call, Answer]) -> None:
    assert not explained(*REGISTERED, lost, *APART)


def test_an_impossible_state_is_seen(tmp_path: Path) -> None:
    database = tmp_path / "tokend.db"
    with closing(open_store(database)) as store:
        store.migrate()
    assert impossible(database) == []
    with closing(sqlite3.connect(database)) as connection, connection:
        for identity_id, disabled in ((A, True), (B, False), (C, False)):
            connection.execute("INSERT INTO identities VALUES (?, ?, 1, 1, ?, 0)", (identity_id, POOL, disabled))
        for number, identity_id in enumerate([A, *[B] * 21]):
            row = (
                f"{number:032}".encode(),
                identity_id,
                DEVELOPER,
                b"everybody's user" if number < 2 else b"%d" % number,
            )
            connection.execute("INSERT INTO linked_logins VALUES (?, ?, ?, ?)", row)
    assert impossible(database) == [
        "logins of a disabled identity: 1",
        "identities of no login that are not disabled: 1",
        "identities of more than 20 logins: 1",
        "users of two identities: 1",
    ]


def test_a_few_crashes_lose_nothing(tmp_path: Path) -> None:
    *_, report = crash(tmp_path, times=2, seed=0)
    assert report.faults == []
    assert report.kills >= 2
