"""A key signs early only if every verifier of the last day is known to have it."""

from dataclasses import replace

import pytest

from tokend_server.config import KeyTimes
from tokend_server.engines.local.keys.fetches import Fetch, ServerNotes, Verifier
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.verifier_keys import early_signing_time, servers_without_key, verifier_keys
from tokend_server.model import Secret

HOUR, DAY = 3600, 86_400
TIMES = KeyTimes(publish_before=HOUR, when_seen=True)
CREATED = 1_800_000_000
NOW = CREATED + 1000
NEXT = SigningKey("next", SigningAlgorithm.ES256, 2, Secret(""), CREATED, CREATED + HOUR)
WITH, WITHOUT = frozenset({"now", "next"}), frozenset({"now"})
A, B = Verifier("192.0.2.1", "a"), Verifier("192.0.2.1", "b")


def server(*fetches: Fetch, name: str = "server", key_ids: frozenset[str] | None = WITH) -> ServerNotes:
    return ServerNotes(name, NOW - 10, stopped=False, key_ids=key_ids, fetches=fetches)


A_HAS, B_HAS = Fetch(A, NOW - 20, WITH), Fetch(B, NOW - 30, WITH)
A_LACKS, B_LACKS = Fetch(A, NOW - 600, WITHOUT), Fetch(B, NOW - 500, WITHOUT)


def early(*notes: ServerNotes, key: SigningKey = NEXT, times: KeyTimes = TIMES, now: float = NOW) -> int | None:
    return early_signing_time(key, notes, times, now)


def behind(*notes: ServerNotes, now: float = NOW) -> list[Verifier]:
    return [each.verifier for each in verifier_keys([NEXT], notes, TIMES, now) if each.behind]


def test_a_key_that_all_verifiers_have_signs_after_all_servers_know() -> None:
    assert early(server(A_HAS, B_HAS)) == NOW + TIMES.about_to_sign


def test_a_verifier_without_the_key_prevents_its_early_use() -> None:
    assert early(server(A_HAS, B_LACKS)) is None
    assert early(server(A_HAS), server(B_LACKS, name="other")) is None


def test_without_known_verifiers_no_key_signs_early() -> None:
    assert early() is None
    assert early(server()) is None


def test_a_verifier_delays_no_key_a_day_after_its_last_fetch() -> None:
    gone = Fetch(B, NOW - DAY - TIMES.clock_skew, WITHOUT)
    assert early(server(A_HAS, gone)) is None
    assert early(server(A_HAS, gone._replace(fetched_at=gone.fetched_at - 1))) is not None


def test_the_later_fetch_of_two_servers_counts_only_beyond_the_clock_skew() -> None:
    older = Fetch(A, A_HAS.fetched_at - TIMES.clock_skew, WITHOUT)
    assert behind(server(A_HAS), server(older, name="other")) == [A]
    older = older._replace(fetched_at=older.fetched_at - 1)
    assert behind(server(A_HAS), server(older, name="other")) == []


def test_verifiers_without_the_key_come_first_by_their_last_fetch() -> None:
    others = [Fetch(Verifier("192.0.2.1", name), NOW - 100 + number, WITHOUT) for number, name in enumerate("yx")]
    found = verifier_keys([NEXT], [server(A_HAS, B_LACKS, *others)], TIMES, NOW)
    assert [(each.verifier.user_agent, each.behind) for each in found] == [
        ("b", ("next",)),
        ("y", ("next",)),
        ("x", ("next",)),
        ("a", ()),
    ]


@pytest.mark.parametrize(
    "other",
    [
        server(name="other", key_ids=WITHOUT),
        server(name="other", key_ids=None),
        replace(server(name="other"), uncounted_at=NOW - DAY - TIMES.clock_skew),
        replace(server(name="other", key_ids=WITHOUT), noted_at=NOW - HOUR - TIMES.clock_skew),
    ],
    ids=["lacks it", "of another release", "does not know all", "silent"],
)
def test_a_server_with_incomplete_records_delays_a_key(other: ServerNotes) -> None:
    assert servers_without_key(NEXT, [server(A_HAS), other], TIMES, NOW) == [other]
    assert early(server(A_HAS), other) is None


@pytest.mark.parametrize(
    "other",
    [
        replace(server(name="other", key_ids=WITHOUT), stopped=True),
        replace(server(name="other", key_ids=WITHOUT), noted_at=NOW - HOUR - TIMES.clock_skew - 1),
        replace(server(name="other"), uncounted_at=NOW - DAY - TIMES.clock_skew - 1),
    ],
    ids=["stopped", "silent for longer than keys are published", "knew not all"],
)
def test_an_outdated_server_does_not_prevent_early_use(other: ServerNotes) -> None:
    assert early(server(A_HAS), other) is not None


@pytest.mark.parametrize(
    ("key", "times", "now"),
    [
        (NEXT, replace(TIMES, when_seen=False), NOW),
        (NEXT, TIMES, CREATED + TIMES.cache_age - 1),
        (NEXT, TIMES, CREATED + HOUR - TIMES.about_to_sign),
        (NEXT, TIMES, CREATED + 2 * HOUR),
        (replace(NEXT, signs_from=CREATED + HOUR + 1), TIMES, NOW),
        (replace(NEXT, signs_from=CREATED - 300), TIMES, NOW),
        (replace(NEXT, creation_date=NOW + 10, signs_from=NOW + 10 + HOUR), TIMES, NOW),
    ],
    ids=["off", "just added", "about to sign", "signs", "meant to sign later", "signs at once", "of a clock ahead"],
)
def test_a_key_keeps_its_signing_time(key: SigningKey, times: KeyTimes, now: int) -> None:
    fetched = Fetch(A, now, WITH)
    assert early(server(fetched), key=key, times=times, now=now) is None


def test_no_key_signs_early_before_older_key_sets_have_expired() -> None:
    soonest = CREATED + TIMES.min_signing_delay
    first = next(at for now in range(CREATED, NOW) if (at := early(server(A_HAS), now=now)) is not None)
    assert first == soonest
    assert TIMES.min_signing_delay >= TIMES.propagation_time + TIMES.clock_skew
