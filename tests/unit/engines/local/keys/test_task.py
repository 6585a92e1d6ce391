"""A server rotates its keys itself when they are due, and loads those of others."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from tests.fakes.clock import FakeClock
from tests.support.grpc_service import TIMEOUT
from tests.support.key_replica import ES256, KeyReplica, Locked
from tests.support.waiting import wait_until

from tokend_server.clock import SystemClock
from tokend_server.config import Config, Keys, KeyTimes
from tokend_server.engines.build import Engines, build_engines
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.manager import KeyManager
from tokend_server.engines.local.keys.rotation import KeyRotation
from tokend_server.engines.local.keys.stored_keys import StoredKeys
from tokend_server.engines.local.stores.opening import open_store
from tokend_server.engines.local.stores.sqlite.store import open_store as open_sqlite
from tokend_server.errors import EngineUnavailable
from tokend_server.metrics import Metrics

THREAD = "signing keys"
HOUR, DAY = 3600, 86_400
TIMES = KeyTimes()
DOWN = EngineUnavailable("It does not answer.")
MakeReplica = Callable[..., KeyReplica]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(data_dir=tmp_path)


@pytest.fixture
def engines(config: Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engines]:
    monkeypatch.setattr(Keys, "times", KeyTimes(refresh=0.01))
    built = build_engines(
        config, "https://issuer.example.test", Metrics(CollectorRegistry()), SystemClock(), lambda _: nullcontext()
    )
    yield built
    built.close()


@pytest.fixture
def make_replica(tmp_path: Path) -> Iterator[MakeReplica]:
    """Servers on one store, each with its own clock, ahead by a number of seconds."""
    store = open_sqlite(tmp_path / "tokend.db")
    store.migrate()

    def make(
        ahead: float = 0,
        times: KeyTimes = TIMES,
        algorithms: frozenset[SigningAlgorithm] = frozenset({ES256}),
        manager: KeyManager | None = None,
    ) -> KeyReplica:
        return KeyReplica(store, FakeClock(1_800_000_000 + ahead), times, algorithms=algorithms, manager=manager)

    yield make
    store.close()


@pytest.fixture
def replica(make_replica: MakeReplica) -> KeyReplica:
    return make_replica()


def published(engines: Engines) -> list[str]:
    assert engines.local_keys
    return [key["kid"] for key in json.loads(engines.local_keys.key_set().jwks)["keys"]]


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


def test_keys_of_another_process_are_published_without_a_probe(engines: Engines, config: Config) -> None:
    engines.start()
    first = published(engines)
    with closing(open_store(config)) as store:
        rotation = KeyRotation(store, StoredKeys(), SystemClock(), TIMES)
        added = rotation.add(SigningAlgorithm.RS512, signs_in=HOUR)
        wait_until(lambda: published(engines) == [*first, added.kid])
        rotation.remove(added.kid, compromised=False)
        wait_until(lambda: published(engines) == first)


def test_the_thread_runs_from_start_to_close(engines: Engines) -> None:
    before = len(threads())
    engines.start()
    assert len(threads()) == before + 1
    engines.close()
    assert len(threads()) == before


def test_the_thread_continues_after_any_error(make_replica: MakeReplica) -> None:
    replica = make_replica(times=KeyTimes(refresh=0.001))
    replica.store.failure = ValueError("no key")
    while replica.store.readings.acquire(blocking=False):
        pass
    replica.task.start()
    try:
        for _ in range(3):
            assert replica.store.readings.acquire(timeout=TIMEOUT)
        with pytest.raises(ValueError, match="no key"):
            replica.task.check()
    finally:
        replica.task.stop()


def test_a_key_is_rotated_automatically_after_thirty_days(replica: KeyReplica) -> None:
    (first,) = replica.published
    replica.pass_time(30 * DAY - HOUR - 1)
    assert replica.published == [first]
    replica.pass_time(1)
    assert len(replica.published) == 2
    second = replica.published[1]
    replica.pass_time(HOUR - 1)
    assert replica.signs_with() == first
    replica.pass_time(1)
    assert replica.signs_with() == second
    replica.pass_time(TIMES.tokens_last - 1)
    assert replica.published == [first, second]
    replica.pass_time(1)
    assert replica.published == [second]


def test_one_of_several_servers_creates_the_next_key(make_replica: MakeReplica) -> None:
    replicas = [make_replica(ahead) for ahead in (0, 120, -120)]
    for each in replicas:
        each.clock.advance(30 * DAY)
    for _ in range(2):
        for each in replicas:
            each.task.run_due_steps()
    assert len(replicas[0].published) == 2
    assert {tuple(each.published) for each in replicas} == {tuple(replicas[0].published)}
    assert [each.failures for each in replicas] == [[], [], []]


def test_a_slower_server_uses_the_key_of_the_first(make_replica: MakeReplica) -> None:
    first, second = make_replica(), make_replica()
    for each in (first, second):
        each.clock.advance(30 * DAY)

    reading = second.store.signing_keys

    def late() -> tuple[SigningKey, ...]:
        keys = reading()
        first.task.run_due_steps()  # between the other server's read and its change
        second.store.signing_keys = reading  # type: ignore[method-assign]
        return keys

    second.store.signing_keys = late  # type: ignore[method-assign]
    second.task.run_due_steps()
    assert second.published == first.published
    assert len(first.published) == 2
    assert (second.failures, second.task.check()) == ([], [])


def test_retired_keys_are_removed_without_rotation(make_replica: MakeReplica) -> None:
    replica = make_replica(times=KeyTimes(rotate_every=None))
    (first,) = replica.published
    replica.pass_time(100 * DAY)
    assert replica.published == [first]
    second = replica.rotation.add(ES256, signs_in=HOUR).kid
    replica.pass_time(HOUR + TIMES.tokens_last)
    assert replica.published == [second]


def test_keys_of_unused_algorithms_are_not_rotated(make_replica: MakeReplica) -> None:
    old = make_replica(algorithms=frozenset({SigningAlgorithm.RS256}))
    (unused,) = old.published
    retired = unused
    unused = old.rotation.add(SigningAlgorithm.RS256, signs_in=0).kid
    new = make_replica()
    new.pass_time(40 * DAY)
    assert retired not in new.published
    assert unused in new.published
    assert [key.algorithm for key in new.store.signing_keys()].count(SigningAlgorithm.RS256) == 1


def test_a_failed_step_is_logged_and_retried_with_back_off(
    replica: KeyReplica, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    replica.store.refusal = DOWN
    replica.pass_time(30 * DAY)
    (first,) = replica.published
    assert replica.task.check() == ["keys: ES256: adding the next key fails: It does not answer."]
    tried = [replica.store.changes]
    for _ in range(100):
        replica.pass_time(2)
        tried.append(replica.store.changes)
    assert tried[:8] == [1, 2, 2, 3, 3, 3, 3, 4]
    assert tried[-1] == 1 + 7  # after 2, 6, 14, 30, 62, 122 and 182 seconds
    assert len(replica.failures) == replica.store.changes
    assert set(replica.failures) == {"add"}
    assert [record.getMessage() for record in caplog.records] == [
        "verifiers cannot be followed; keys sign after publish_before",
        "signing keys cannot be changed",
    ]
    assert replica.signs_with() == first
    replica.store.refusal = None
    replica.pass_time(60)
    assert replica.task.check() == []
    assert len(replica.published) == 2


def test_a_step_done_by_another_server_ends_the_failure(make_replica: MakeReplica) -> None:
    one, other = make_replica(), make_replica()
    one.store.refusal = DOWN
    one.pass_time(30 * DAY)
    assert one.task.check()
    other.pass_time(30 * DAY)
    one.task.run_due_steps()
    assert one.task.check() == []


def test_a_server_that_cannot_read_the_keys_changes_none(replica: KeyReplica) -> None:
    replica.store.failure = DOWN
    replica.pass_time(30 * DAY)
    assert (replica.store.changes, replica.failures) == (0, ["read"])
    with pytest.raises(EngineUnavailable):
        replica.task.check()


def test_a_server_that_cannot_open_a_key_publishes_other_keys_and_changes_none(make_replica: MakeReplica) -> None:
    manager = Locked()
    one, other = make_replica(), make_replica(manager=manager)
    (first,) = one.published
    second = one.rotation.add(ES256, signs_in=HOUR).kid
    third = one.rotation.add(ES256, signs_in=HOUR).kid
    manager.may_open = frozenset({third})
    other.task.run_due_steps()
    assert other.published == [first, third]
    with pytest.raises(EngineUnavailable, match="locked"):
        other.task.check()
    other.pass_time(40 * DAY)
    assert other.store.changes == 0
    manager.may_open = None
    other.refresh.refresh()
    other.task.check()
    assert other.published == [first, second, third]


@pytest.mark.parametrize(("ahead", "is_reported"), [(TIMES.clock_skew, False), (TIMES.clock_skew + 1, True)])
def test_a_key_created_by_a_clock_too_far_ahead_is_reported(
    make_replica: MakeReplica, ahead: int, *, is_reported: bool
) -> None:
    here, there = make_replica(), make_replica(ahead)
    there.rotation.add(ES256, signs_in=HOUR)
    here.task.run_due_steps()
    expected = [f"keys: one was created {ahead} s in the future by this server's clock"] if is_reported else []
    assert [problem.partition(": with clocks")[0] for problem in here.task.check()] == expected
    assert there.task.check() == []


@pytest.mark.parametrize("times", [TIMES, KeyTimes(rotate_every=DAY)], ids=["by default", "daily"])
def test_a_clock_that_is_yet_to_be_set_adds_no_key(make_replica: MakeReplica, times: KeyTimes) -> None:
    right = make_replica(0, times)
    (first,) = right.published
    late = make_replica(-1_799_000_000, times)
    late.task.run_due_steps()
    late.pass_time(HOUR - 1)
    right.pass_time(2)
    assert right.published == late.published == [first]
    assert [problem.partition(": clocks")[0] for problem in late.task.check()] != []
    late.clock.move_wall_clock(1_799_000_000)
    late.task.run_due_steps()
    assert right.signs_with() == late.signs_with() == first
    assert late.task.check() == []


def test_after_clocks_were_far_ahead_keys_rotate_in_an_hour(replica: KeyReplica) -> None:
    (first,) = replica.published
    replica.clock.move_wall_clock(-365 * DAY)
    replica.task.run_due_steps()
    replica.pass_time(HOUR - 1)
    assert replica.published == [first]
    replica.pass_time(1)
    second = replica.published[1]
    replica.pass_time(HOUR)
    assert replica.signs_with() == second
