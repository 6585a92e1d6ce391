"""Servers share who has fetched keys from them, and use a key early when all verifiers have it."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.fakes.clock import FakeClock
from tests.support.key_replica import ES256, KeyReplica

from tokend_server.config import KeyTimes
from tokend_server.engines.local.keys.fetches import notes_of
from tokend_server.engines.local.keys.keyring import SigningKey
from tokend_server.engines.local.keys.store import FetchRecord
from tokend_server.engines.local.keys.verifier_watch import server_name
from tokend_server.engines.local.stores.sqlite.store import open_store
from tokend_server.errors import EngineUnavailable

HOUR, DAY = 3600, 86_400
TIMES = KeyTimes(publish_before=DAY, when_seen=True)
DOWN = EngineUnavailable("It does not answer.")
MakeReplica = Callable[..., KeyReplica]


@pytest.fixture
def make_replica(tmp_path: Path) -> Iterator[MakeReplica]:
    """Servers on one store, each with its own clock, ahead by a number of seconds."""
    store = open_store(tmp_path / "tokend.db")
    store.migrate()
    names = iter("abcdef")

    def make(ahead: float = 0, times: KeyTimes = TIMES) -> KeyReplica:
        return KeyReplica(store, FakeClock(1_800_000_000 + ahead), times, name=next(names))

    yield make
    store.close()


def pass_time(seconds: float, *replicas: KeyReplica) -> None:
    """Advances the time in steps of two seconds. After each step, each server runs its periodic tasks."""
    for _ in range(int(seconds / 2)):
        for each in replicas:
            each.pass_time(2)


def waiting(replica: KeyReplica) -> SigningKey:
    return max(replica.signer.keys, key=lambda key: key.generation)


def test_a_key_signs_when_the_last_verifier_has_fetched_it(make_replica: MakeReplica) -> None:
    replica = make_replica()
    old = replica.signs_with()
    for agent in ("envoy", "go-oidc"):
        replica.fetched_by(agent)
    new = replica.rotation.add(ES256, signs_in=DAY).kid
    pass_time(20, replica)
    replica.fetched_by("envoy")
    pass_time(HOUR, replica)
    assert (replica.signs_with(), replica.watch.behind) == (old, 1)
    assert waiting(replica).signs_from == waiting(replica).creation_date + DAY
    replica.fetched_by("go-oidc")
    pass_time(30, replica)
    assert (replica.signs_with(), replica.watch.behind) == (old, 0)
    pass_time(TIMES.about_to_sign, replica)
    assert replica.signs_with() == new
    assert replica.watch_failures == replica.failures == []


def test_a_key_signs_after_publish_before_although_a_verifier_lacks_it(make_replica: MakeReplica) -> None:
    replica = make_replica()
    replica.fetched_by("gone")
    new = replica.rotation.add(ES256, signs_in=DAY).kid
    replica.pass_time(HOUR)
    replica.pass_time(DAY - HOUR)
    assert replica.signs_with() == new


def test_by_default_a_key_does_not_sign_early(make_replica: MakeReplica) -> None:
    replica = make_replica(times=KeyTimes(publish_before=DAY))
    old = replica.signs_with()
    replica.rotation.add(ES256, signs_in=DAY)
    pass_time(20, replica)
    replica.fetched_by("envoy")
    pass_time(2 * HOUR, replica)
    assert (replica.signs_with(), replica.watch.behind) == (old, 0)


def test_a_verifier_of_another_server_delays_a_key_until_it_has_it(make_replica: MakeReplica) -> None:
    one, other = make_replica(), make_replica(120)
    other.fetched_by("envoy")
    old, new = one.signs_with(), one.rotation.add(ES256, signs_in=DAY).kid
    pass_time(20, one, other)
    one.fetched_by("go-oidc")
    pass_time(HOUR, one, other)
    assert [each.signs_with() for each in (one, other)] == [old, old]
    assert [each.watch.behind for each in (one, other)] == [1, 1]
    one.fetched_by("envoy")  # for any server
    pass_time(TIMES.about_to_sign + 60, one, other)
    assert [each.signs_with() for each in (one, other)] == [new, new]


def test_a_server_that_cannot_reach_the_store_delays_a_key(make_replica: MakeReplica) -> None:
    one, cut_off = make_replica(), make_replica()
    pass_time(20, one, cut_off)
    cut_off.lose_store(DOWN)
    one.rotation.add(ES256, signs_in=DAY)
    pass_time(20, one, cut_off)
    cut_off.fetched_by("envoy")
    one.fetched_by("go-oidc")
    pass_time(HOUR, one, cut_off)
    assert waiting(one).signs_from == waiting(one).creation_date + DAY
    assert "note" in cut_off.watch_failures
    cut_off.find_store()
    cut_off.fetched_by("envoy")
    pass_time(60, one, cut_off)
    assert waiting(one).signs_from < waiting(one).creation_date + 2 * HOUR


def test_a_stopped_server_delays_no_key_but_its_verifiers_do(make_replica: MakeReplica) -> None:
    one, stopped = make_replica(), make_replica()
    pass_time(20, one, stopped)
    stopped.fetched_by("envoy")
    stopped.task.stop()
    one.rotation.add(ES256, signs_in=DAY)
    pass_time(20, one)
    one.fetched_by("go-oidc")
    pass_time(HOUR, one)
    assert (waiting(one).signs_from, one.watch.behind) == (waiting(one).creation_date + DAY, 1)
    one.fetched_by("envoy")
    pass_time(60, one)
    assert waiting(one).signs_from < waiting(one).creation_date + 2 * HOUR


def test_an_unchanged_record_is_written_every_five_minutes(make_replica: MakeReplica) -> None:
    replica = make_replica()
    noted: list[object] = []
    keep = replica.store.keep_fetch_record

    def note(record: FetchRecord) -> None:
        noted.append(notes_of(record))
        keep(record)

    replica.store.keep_fetch_record = note  # type: ignore[method-assign]
    for _ in range(HOUR // 2):
        replica.fetched_by("envoy")
        replica.pass_time(2)
    assert len(noted) == HOUR // 300  # the first after a change, within 16 seconds
    assert len(replica.store.fetch_records()) == 1


def test_fetch_records_of_stopped_servers_are_removed_after_a_day(make_replica: MakeReplica) -> None:
    gone, replica = make_replica(), make_replica()
    gone.fetched_by("envoy")
    gone.task.stop()
    for _ in range(27):
        pass_time(2, replica)
        replica.pass_time(HOUR)
    assert [record.server for record in replica.store.fetch_records()] == ["b"]


def test_a_store_that_rejects_fetch_records_is_reported_once(
    make_replica: MakeReplica, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    replica, other = make_replica(), make_replica()

    def refuse(_record: object) -> None:
        raise DOWN

    replica.store.keep_fetch_record = refuse  # type: ignore[method-assign, assignment]
    added = other.rotation.add(ES256, signs_in=DAY).kid
    pass_time(60, replica)
    assert added in replica.published
    replica.task.check()
    assert set(replica.watch_failures) == {"note"}
    assert len(replica.watch_failures) >= 3
    assert [record.getMessage() for record in caplog.records] == [
        "verifiers cannot be followed; keys sign after publish_before"
    ]


def test_a_key_that_others_change_at_the_same_time_is_changed_once(make_replica: MakeReplica) -> None:
    one, other = make_replica(), make_replica(1)
    one.rotation.add(ES256, signs_in=DAY)
    pass_time(20, one, other)
    one.fetched_by("envoy")
    records = other.store.fetch_records

    def late() -> object:
        found = records()
        one.pass_time(HOUR)  # between the other server's check and its change
        one.pass_time(2)
        return found

    pass_time(40, one, other)
    other.clock.advance(HOUR)
    other.store.fetch_records = late  # type: ignore[method-assign, assignment]
    other.task.run_due_steps()
    assert other.watch_failures == []
    assert waiting(one) == waiting(other)
    assert waiting(one).signs_from < waiting(one).creation_date + 2 * HOUR


def test_an_outage_rejects_long_tokens_earlier_if_the_next_key_may_sign_early(
    make_replica: MakeReplica,
) -> None:
    replica = make_replica()
    replica.lose_store(DOWN)
    replica.pass_time(TIMES.about_to_sign + TIMES.tokens_last - 2 * TIMES.clock_skew - DAY)
    assert replica.signs_with(life=DAY)
    replica.pass_time(1)
    with pytest.raises(EngineUnavailable):
        replica.signs_with(life=DAY)
    assert replica.max_age == 0


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("tokend-1", "tokend-1-0a1b2c3d"),
        ("prod-eu-west-1-tokend-5f9d8c7b64-x2x4z", "t-1-tokend-5f9d8c7b64-x2x4z-0a1b2c3d"),
    ],
)
def test_a_server_is_named_by_the_end_of_its_host_s_name(host: str, name: str) -> None:
    assert server_name(host, "0a1b2c3d-0000-4000-8000-00000000000a") == name
    assert len(name) <= 36
