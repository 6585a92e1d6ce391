import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.fakes.clock import FakeClock
from tests.support.key_replica import ES256, KeyReplica, Locked
from tests.support.local_engine import LocalEngineUnderTest

from tokend_server.clock import Deadline
from tokend_server.config import KeyTimes
from tokend_server.engines.local.keys.jws import TokenType
from tokend_server.engines.local.keys.keyring import (
    KeyState,
    SigningAlgorithm,
    SigningKey,
    key_state,
    signing_key,
    succession,
)
from tokend_server.engines.local.keys.manager import new_signing_key
from tokend_server.engines.local.keys.signer import TokenSigner
from tokend_server.engines.local.keys.stored_keys import StoredKeys
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.errors import EngineUnavailable
from tokend_server.model import Secret


def key(generation: int, signs_from: int, algorithm: SigningAlgorithm = SigningAlgorithm.ES256) -> SigningKey:
    return SigningKey(f"{algorithm.value}-{generation}", algorithm, generation, Secret("pem"), 0, signs_from)


@pytest.mark.parametrize(
    ("now", "signing", "states"),
    [
        (0, 1, [KeyState.SIGNING, KeyState.PUBLISHED, KeyState.PUBLISHED]),
        (10, 1, [KeyState.SIGNING, KeyState.PUBLISHED, KeyState.PUBLISHED]),
        (20, 2, [KeyState.RETIRED, KeyState.SIGNING, KeyState.PUBLISHED]),
        (30, 3, [KeyState.RETIRED, KeyState.RETIRED, KeyState.SIGNING]),
    ],
)
def test_the_newest_key_whose_time_has_come_signs(now: int, signing: int, states: list[KeyState]) -> None:
    keys = [key(1, 10), key(2, 20), key(3, 30)]
    everything = [*keys, key(9, 0, SigningAlgorithm.RS512)]
    chosen = signing_key(succession(everything, SigningAlgorithm.ES256), now)
    assert (chosen.generation if chosen else None) == signing
    assert [key_state(each, keys, now) for each in keys] == states


def test_keys_are_made_once_and_kept(tmp_path: Path) -> None:
    first = LocalEngineUnderTest(tmp_path)
    made = first.store.signing_keys()
    first.close()
    second = LocalEngineUnderTest(tmp_path)
    assert second.store.signing_keys() == made
    second.close()


def test_a_key_with_an_existing_generation_is_rejected(local: LocalEngineUnderTest) -> None:
    late = new_signing_key(StoredKeys(), SigningAlgorithm.ES256, generation=1, created=0)
    with pytest.raises(StaleReading):
        local.store.add_signing_key(late)


def test_a_key_that_another_process_adds_is_published_after_a_refresh(local: LocalEngineUnderTest) -> None:
    published = new_signing_key(
        StoredKeys(), SigningAlgorithm.ES256, generation=2, created=int(local.clock.now()), signs_in=3600
    )
    signing = local.store.signing_keys()[0].kid
    local.store.add_signing_key(published)
    assert kids(local.signer) == [signing]
    local.key_refresh.refresh()
    assert kids(local.signer) == [signing, published.kid]


def test_published_keys_have_only_public_members(tmp_path: Path) -> None:
    local = LocalEngineUnderTest(tmp_path, algorithm=SigningAlgorithm.RS512)
    local.signer.ensure_keys(frozenset(SigningAlgorithm))
    members = {each["alg"]: list(each) for each in json.loads(local.signer.key_set().jwks)["keys"]}
    assert members == {
        "ES256": ["kty", "alg", "use", "kid", "crv", "x", "y"],
        "RS256": ["kty", "alg", "use", "kid", "n", "e"],
        "RS512": ["kty", "alg", "use", "kid", "n", "e"],
    }
    local.close()


def test_without_a_key_nothing_is_signed(local: LocalEngineUnderTest) -> None:
    with pytest.raises(EngineUnavailable, match=r"There is no RS256 signing key\."):
        local.signer.sign({"exp": 0}, SigningAlgorithm.RS256, TokenType.JWS, Deadline(local.clock))
    with pytest.raises(EngineUnavailable):
        local.signer.check(SigningAlgorithm.RS256)


def test_the_age_of_a_key_grows(local: LocalEngineUnderTest) -> None:
    assert local.signer.key_age(SigningAlgorithm.ES256) == 0
    local.clock.advance(60)
    assert local.signer.key_age(SigningAlgorithm.ES256) == 60


def test_the_age_of_a_missing_key_is_nan(local: LocalEngineUnderTest) -> None:
    assert math.isnan(local.signer.key_age(SigningAlgorithm.RS256))


def test_private_keys_do_not_show(local: LocalEngineUnderTest) -> None:
    record = local.store.signing_keys()[0]
    assert "PRIVATE KEY" in record.material.reveal()
    assert "PRIVATE" not in repr(record)


def kids(signer: TokenSigner) -> list[str]:
    return [each["kid"] for each in json.loads(signer.key_set().jwks)["keys"]]


def test_keys_have_the_creation_date_of_the_injected_clock(tmp_path: Path) -> None:
    local = LocalEngineUnderTest(tmp_path)
    assert isinstance(local.clock, FakeClock)
    assert local.store.signing_keys()[0].creation_date == int(local.clock.now())
    local.close()


HOUR, DAY = 3600, 86_400
TIMES = KeyTimes()
DOWN = EngineUnavailable("It does not answer.")


def test_a_key_stored_late_signs_only_after_older_key_sets_have_expired(replica: KeyReplica, other: KeyReplica) -> None:
    """The process that created the key was suspended before it stored the key."""
    (first,) = replica.published
    late = new_signing_key(
        StoredKeys(), ES256, generation=2, created=int(replica.clock.now()) - HOUR - 60, signs_in=HOUR
    )
    other.store.add_signing_key(late)
    replica.task.run_due_steps()
    assert replica.published == [first, late.kid]
    assert replica.signs_with() == first
    replica.pass_time(TIMES.propagation_time - 1)
    assert replica.signs_with() == first
    replica.pass_time(1)
    assert replica.signs_with() == late.kid


def test_a_server_signs_with_the_current_key_after_the_store_recovers(replica: KeyReplica, other: KeyReplica) -> None:
    """Verifiers must not cache what they have fetched from it meanwhile."""
    second = other.rotation.add(ES256, signs_in=HOUR).kid
    replica.store.failure = DOWN
    replica.pass_time(HOUR)
    assert replica.max_age == 0
    replica.store.failure = None
    replica.task.run_due_steps()
    assert replica.signs_with(DAY) == second


def test_a_resumed_machine_signs_with_the_current_key(replica: KeyReplica, other: KeyReplica) -> None:
    """Verifiers no longer cache what they have fetched from it before."""
    second = other.rotation.add(ES256, signs_in=HOUR).kid
    replica.clock.move_wall_clock(2 * HOUR)
    replica.task.run_due_steps()
    assert replica.signs_with(DAY) == second


def test_a_key_that_was_read_in_time_signs_in_time(replica: KeyReplica, other: KeyReplica) -> None:
    second = other.rotation.add(ES256, signs_in=HOUR).kid
    replica.task.run_due_steps()
    replica.store.failure = DOWN
    replica.pass_time(HOUR)
    assert replica.signs_with() == second


@pytest.mark.parametrize("lead", [0, -TIMES.clock_skew])
def test_a_key_added_to_sign_immediately_signs_after_a_refresh(
    replica: KeyReplica, other: KeyReplica, lead: int
) -> None:
    second = other.rotation.add(ES256, signs_in=lead).kid
    replica.task.run_due_steps()
    assert replica.signs_with() == second


def test_a_new_server_signs_with_the_current_key_of_the_store(replica: KeyReplica, local: LocalEngineUnderTest) -> None:
    second = replica.rotation.add(ES256, signs_in=HOUR).kid
    started = KeyReplica(local.store, FakeClock(local.clock.now() + HOUR), TIMES)
    assert started.signs_with() == second


def test_no_token_outlives_the_key_that_another_server_removes(replica: KeyReplica, other: KeyReplica) -> None:
    """A server that has not read the keys since just before the next one was added."""
    (first,) = replica.published
    replica.store.failure = DOWN
    other.rotation.add(ES256, signs_in=HOUR)
    left = HOUR + TIMES.tokens_last - 2 * TIMES.clock_skew
    replica.clock.advance(left - DAY)
    assert replica.signs_with(DAY) == first
    replica.clock.advance(2)
    with pytest.raises(EngineUnavailable, match="before the token expires"):
        replica.sign(DAY)
    assert replica.signs_with(DAY - HOUR) == first
    replica.clock.advance(DAY - 900 - 1)
    with pytest.raises(EngineUnavailable, match="before the token expires"):
        replica.sign(900)
    replica.store.failure = None
    replica.task.run_due_steps()
    assert replica.signs_with(DAY) != first


def test_a_resumed_machine_does_not_sign_before_it_reads_the_keys_again(replica: KeyReplica, other: KeyReplica) -> None:
    """Its monotonic clock was stopped, while others have added a key and removed the previous one."""
    (first,) = replica.published
    second = other.rotation.add(ES256, signs_in=HOUR).kid
    away = HOUR + TIMES.tokens_last
    other.pass_time(away)
    assert other.published == [second]
    replica.clock.move_wall_clock(away)
    with pytest.raises(EngineUnavailable, match="before the token expires"):
        replica.sign(900)
    assert (replica.published, replica.max_age) == ([first], 0)
    replica.task.run_due_steps()
    assert (replica.signs_with(), replica.max_age) == (second, TIMES.cache_age)


def test_setting_the_clock_back_does_not_make_key_sets_cacheable_again(replica: KeyReplica) -> None:
    replica.store.failure = DOWN
    replica.pass_time(HOUR)
    replica.clock.move_wall_clock(-HOUR)
    assert replica.max_age == 0


def test_no_token_outlives_a_key_whose_successor_cannot_be_opened(
    local: LocalEngineUnderTest, other: KeyReplica
) -> None:
    manager = Locked()
    replica = KeyReplica(local.store, FakeClock(local.clock.now()), TIMES, manager=manager)
    (first,) = replica.published
    second = other.rotation.add(ES256, signs_in=HOUR)
    manager.may_open = frozenset()
    replica.pass_time(HOUR)
    assert (replica.published, replica.max_age) == ([first], 0)
    end = second.signs_from + TIMES.tokens_last - TIMES.clock_skew
    assert replica.signs_with(end - replica.clock.now()) == first
    with pytest.raises(EngineUnavailable, match="before the token expires"):
        replica.sign(end - replica.clock.now() + 1)


def test_the_max_age_of_key_sets_shrinks_while_keys_cannot_be_read(replica: KeyReplica) -> None:
    assert replica.max_age == TIMES.cache_age
    before = replica.signer.key_set()
    assert replica.signer.key_set() is before
    replica.store.failure = DOWN
    replica.pass_time(HOUR - TIMES.clock_skew - 300)
    assert replica.signer.key_set() is before
    replica.pass_time(200)
    assert replica.max_age == 100
    replica.pass_time(100)
    assert replica.max_age == 0
    assert replica.signer.key_set().jwks == before.jwks
    replica.store.failure = None
    replica.task.run_due_steps()
    assert replica.max_age == TIMES.cache_age


def test_a_key_that_can_no_longer_be_opened_continues_to_sign(local: LocalEngineUnderTest) -> None:
    manager = Locked()
    replica = KeyReplica(local.store, FakeClock(local.clock.now()), TIMES, manager=manager)
    (first,) = replica.store.signing_keys()
    changed = dataclasses.replace(first, material=Secret(first.material.reveal() + "\n"))
    manager.may_open = frozenset()
    replica.store.signing_keys = lambda: (changed,)  # type: ignore[method-assign]
    assert not replica.refresh.refresh()
    assert replica.signs_with() == first.kid
    manager.may_open = None
    assert replica.refresh.refresh()
    assert replica.signs_with() == first.kid


class ActingClock(FakeClock):
    """Runs an action on the next read."""

    act: Callable[[], None] | None = None

    def monotonic(self) -> float:
        act, self.act = self.act, None
        if act:
            act()
        return super().monotonic()


def test_a_signature_succeeds_when_its_key_is_removed_concurrently(
    local: LocalEngineUnderTest, other: KeyReplica
) -> None:
    clock = ActingClock(local.clock.now())
    replica = KeyReplica(local.store, clock, TIMES)
    (first,) = replica.published

    def replace() -> None:
        for step in other.rotation.replacement(first):
            other.rotation.take(step, compromised=True)
        replica.refresh.refresh()

    clock.act = replace
    assert replica.signs_with() == first
    assert [replica.signs_with()] == replica.published != [first]


def test_keys_that_have_not_changed_are_not_opened_again(local: LocalEngineUnderTest) -> None:
    manager = Locked()
    replica = KeyReplica(local.store, FakeClock(local.clock.now()), TIMES, manager=manager)
    replica.rotation.add(ES256, signs_in=HOUR)
    manager.opened.clear()
    for _ in range(2):
        replica.task.run_due_steps()
    assert manager.opened == [replica.published[1]]


def test_a_key_that_only_signs_at_another_time_is_not_opened_again(
    local: LocalEngineUnderTest, other: KeyReplica
) -> None:
    """The service that opens it may be unavailable."""
    manager = Locked()
    replica = KeyReplica(local.store, FakeClock(local.clock.now()), TIMES, manager=manager)
    second = other.rotation.add(ES256, signs_in=DAY)
    replica.task.run_due_steps()
    other.store.replace_signs_from(second, second.signs_from - HOUR)
    manager.may_open = frozenset()
    replica.clock.advance(DAY - HOUR)
    assert replica.refresh.refresh()
    assert replica.signs_with() == second.kid


@pytest.fixture
def replica(local: LocalEngineUnderTest) -> KeyReplica:
    return KeyReplica(local.store, FakeClock(local.clock.now()), TIMES)


@pytest.fixture
def other(local: LocalEngineUnderTest) -> KeyReplica:
    return KeyReplica(local.store, FakeClock(local.clock.now()), TIMES)
