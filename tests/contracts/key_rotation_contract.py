"""The contract of key rotation with a shared store: a test suite that runs for each kind of store."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.contracts.store_contract import StoreUnderTest
from tests.fakes.clock import FakeClock
from tests.support.key_replica import KeyReplica

from tokend_server.config import KeyTimes
from tokend_server.engines.local.store import Store

TIMES = KeyTimes()
NOW, HOUR, DAY = 1_800_000_000, 3600, 86_400


class KeyRotationContract(StoreUnderTest):
    """Rotation by two servers with different clocks."""

    @pytest.fixture
    def replicas(self, store: Store, other: Store) -> tuple[KeyReplica, KeyReplica]:
        first, second = (FakeClock(NOW + ahead) for ahead in (0, TIMES.clock_skew))
        return KeyReplica(store, first, TIMES), KeyReplica(other, second, TIMES)

    def test_servers_that_act_at_once_make_one_key_and_remove_one(
        self, replicas: tuple[KeyReplica, KeyReplica], store: Store
    ) -> None:
        (first,) = store.signing_keys()
        for each in replicas:
            each.clock.advance(30 * DAY)
        act_at_once(replicas)
        assert [key.generation for key in store.signing_keys()] == [1, 2]
        for each in replicas:
            each.clock.advance(HOUR + TIMES.tokens_last + TIMES.clock_skew)
        act_at_once(replicas)
        (second,) = store.signing_keys()
        assert (second.generation, second.kid != first.kid) == (2, True)
        assert [each.published for each in replicas] == [[second.kid]] * 2
        assert [each.failures for each in replicas] == [[], []]
        assert {each.signs_with(DAY) for each in replicas} == {second.kid}

    def test_a_compromised_key_is_replaced_for_both(
        self, replicas: tuple[KeyReplica, KeyReplica], store: Store
    ) -> None:
        slow, fast = replicas
        (first,) = store.signing_keys()
        for step in fast.rotation.replacement(first.kid):
            fast.rotation.take(step, compromised=True)
        act_at_once(replicas)
        (second,) = store.signing_keys()
        assert [each.published for each in replicas] == [[second.kid]] * 2
        assert {each.signs_with() for each in (slow, fast)} == {second.kid}


def act_at_once(replicas: tuple[KeyReplica, KeyReplica]) -> None:
    """Runs the steps of both servers until each has seen the other's changes."""
    for _ in range(2):
        with ThreadPoolExecutor(len(replicas)) as threads:
            list(threads.map(lambda each: each.task.run_due_steps(), replicas))
