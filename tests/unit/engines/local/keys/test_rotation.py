import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.fakes.clock import FakeClock
from tests.support.local_engine import LocalEngineUnderTest, parts_of

from tokend_server.clock import Deadline
from tokend_server.config import KeyTimes
from tokend_server.engines.local.keys.jws import TokenType
from tokend_server.engines.local.keys.keyring import KeyState, SigningAlgorithm, SigningKey, key_state
from tokend_server.engines.local.keys.rotation import KeyInUse, KeyNotFound, KeyRotation
from tokend_server.engines.local.keys.stored_keys import StoredKeys

ES256 = SigningAlgorithm.ES256
HOUR = 3600
TOKENS_LAST = 24 * HOUR + 1200


@pytest.fixture
def rotation(local: LocalEngineUnderTest) -> KeyRotation:
    return KeyRotation(local.store, StoredKeys(), local.clock, KeyTimes())


@pytest.fixture
def states(local: LocalEngineUnderTest) -> Callable[[], list[tuple[str, KeyState]]]:
    def read() -> list[tuple[str, KeyState]]:
        keys = local.store.signing_keys()
        return [(key.kid, key_state(key, keys, local.clock.now())) for key in keys]

    return read


def only(local: LocalEngineUnderTest) -> SigningKey:
    (key,) = local.store.signing_keys()
    return key


def test_a_new_key_is_published_before_it_signs(
    local: LocalEngineUnderTest, rotation: KeyRotation, states: Callable[[], list[tuple[str, KeyState]]]
) -> None:
    first = only(local).kid
    second = rotation.add(ES256, signs_in=HOUR).kid
    assert states() == [(first, KeyState.SIGNING), (second, KeyState.PUBLISHED)]
    local.clock.advance(HOUR - 1)
    assert states() == [(first, KeyState.SIGNING), (second, KeyState.PUBLISHED)]
    local.clock.advance(1)
    assert states() == [(first, KeyState.RETIRED), (second, KeyState.SIGNING)]


def test_a_key_that_signs_at_once_overtakes_one_that_waits(
    local: LocalEngineUnderTest, rotation: KeyRotation, states: Callable[[], list[tuple[str, KeyState]]]
) -> None:
    rotation.add(ES256, signs_in=HOUR)
    third = rotation.add(ES256, signs_in=0).kid
    for _ in range(2):
        assert [kid for kid, state in states() if state is KeyState.SIGNING] == [third]
        local.clock.advance(HOUR)


def test_the_older_of_two_keys_due_at_the_same_time_is_retired(
    local: LocalEngineUnderTest, rotation: KeyRotation, states: Callable[[], list[tuple[str, KeyState]]]
) -> None:
    first = only(local).kid
    second, third = (rotation.add(ES256, signs_in=HOUR).kid for _ in range(2))
    local.clock.advance(HOUR)
    assert states() == [(first, KeyState.RETIRED), (second, KeyState.RETIRED), (third, KeyState.SIGNING)]


def test_no_process_changes_keys_between_a_decision_and_its_removal(
    local: LocalEngineUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = only(local).kid
    KeyRotation(local.store, StoredKeys(), local.clock, KeyTimes()).add(ES256, signs_in=0)
    local.clock.advance(TOKENS_LAST)
    refused: list[str] = []

    def deciding() -> float:
        with closing(sqlite3.connect(tmp_path / "tokend.db", timeout=0, isolation_level=None)) as other:
            try:
                other.execute("DELETE FROM signing_keys")
            except sqlite3.OperationalError as error:
                refused.append(error.sqlite_errorname)
        return FakeClock.now(local.clock)

    monkeypatch.setattr(local.clock, "now", deciding)
    KeyRotation(local.store, StoredKeys(), local.clock, KeyTimes()).remove(first, compromised=False)
    assert refused == ["SQLITE_BUSY"]
    assert only(local).kid != first


def test_the_first_key_of_an_algorithm_has_generation_one(rotation: KeyRotation) -> None:
    assert [rotation.add(SigningAlgorithm.RS256, signs_in=0).generation for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("compromised", [False, True])
@pytest.mark.parametrize("signs_in", [None, HOUR])
def test_the_signing_key_cannot_be_removed(
    local: LocalEngineUnderTest, rotation: KeyRotation, *, signs_in: int | None, compromised: bool
) -> None:
    signing = only(local).kid
    if signs_in is not None:
        rotation.add(ES256, signs_in=signs_in)
    with pytest.raises(KeyInUse) as caught:
        rotation.remove(signing, compromised=compromised)
    assert caught.value.tokens_expired_by is None
    assert signing in {key.kid for key in local.store.signing_keys()}


def test_a_retired_key_stays_until_its_last_token_has_expired(
    local: LocalEngineUnderTest, rotation: KeyRotation
) -> None:
    first = only(local).kid
    second = rotation.add(ES256, signs_in=HOUR)
    rotation.add(ES256, signs_in=2 * HOUR)  # later events than the key's successor do not prolong its life
    end = second.signs_from + TOKENS_LAST
    local.clock.advance(end - local.clock.now() - 1)
    with pytest.raises(KeyInUse) as caught:
        rotation.remove(first, compromised=False)
    assert caught.value.tokens_expired_by == end
    local.clock.advance(1)
    rotation.remove(first, compromised=False)
    assert first not in {key.kid for key in local.store.signing_keys()}


def test_a_compromised_key_is_removed_as_soon_as_another_key_signs(
    local: LocalEngineUnderTest, rotation: KeyRotation
) -> None:
    first = only(local).kid
    second = rotation.add(ES256, signs_in=0).kid
    rotation.remove(first, compromised=True)
    assert [key.kid for key in local.store.signing_keys()] == [second]


def test_a_waiting_key_can_be_removed_until_shortly_before_it_signs(
    local: LocalEngineUnderTest, rotation: KeyRotation
) -> None:
    first = only(local).kid
    second, third = (rotation.add(ES256, signs_in=HOUR + later).kid for later in (0, 1))
    local.clock.advance(HOUR - KeyTimes().about_to_sign)
    with pytest.raises(KeyInUse):
        rotation.remove(second, compromised=True)
    rotation.remove(third, compromised=False)
    assert [key.kid for key in local.store.signing_keys()] == [first, second]


def test_a_key_overtaken_before_it_signed_can_be_removed(local: LocalEngineUnderTest, rotation: KeyRotation) -> None:
    overtaken = rotation.add(ES256, signs_in=HOUR).kid
    rotation.add(ES256, signs_in=0)
    rotation.remove(overtaken, compromised=False)
    assert overtaken not in {key.kid for key in local.store.signing_keys()}


def test_removal_of_an_unknown_key_fails(rotation: KeyRotation) -> None:
    with pytest.raises(KeyNotFound):
        rotation.remove("no-such-key", compromised=True)


def test_added_keys_sign_and_removed_keys_are_not_published(local: LocalEngineUnderTest, rotation: KeyRotation) -> None:
    first = only(local).kid
    second = rotation.add(ES256, signs_in=0).kid
    rotation.remove(first, compromised=True)
    local.key_refresh.refresh()
    header, _ = parts_of(local.signer.sign({"exp": 0}, ES256, TokenType.JWS, Deadline(local.clock)).token)
    assert header["kid"] == second
    assert [key["kid"] for key in json.loads(local.signer.key_set().jwks)["keys"]] == [second]
