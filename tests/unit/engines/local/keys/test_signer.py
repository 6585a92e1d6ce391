import json
import math
from pathlib import Path

import pytest
from tests.fakes.clock import FakeClock
from tests.support.local_engine import LocalEngineUnderTest

from tokend_server.clock import Deadline
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


def test_a_process_that_comes_second_uses_the_first_ones_key(local: LocalEngineUnderTest) -> None:
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


def test_published_keys_are_public_and_exact(tmp_path: Path) -> None:
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
        local.signer.sign({}, SigningAlgorithm.RS256, TokenType.JWS, Deadline(local.clock))
    with pytest.raises(EngineUnavailable):
        local.signer.check(SigningAlgorithm.RS256)


def test_the_age_of_a_key_grows(local: LocalEngineUnderTest) -> None:
    assert local.signer.key_age(SigningAlgorithm.ES256) == 0
    local.clock.advance(60)
    assert local.signer.key_age(SigningAlgorithm.ES256) == 60


def test_without_a_key_its_age_is_no_number(local: LocalEngineUnderTest) -> None:
    assert math.isnan(local.signer.key_age(SigningAlgorithm.RS256))


def test_private_keys_do_not_show(local: LocalEngineUnderTest) -> None:
    record = local.store.signing_keys()[0]
    assert "PRIVATE KEY" in record.material.reveal()
    assert "PRIVATE" not in repr(record)


def kids(signer: TokenSigner) -> list[str]:
    return [each["kid"] for each in json.loads(signer.key_set().jwks)["keys"]]


def test_the_fake_clock_is_the_signers_clock(tmp_path: Path) -> None:
    local = LocalEngineUnderTest(tmp_path)
    assert isinstance(local.clock, FakeClock)
    assert local.store.signing_keys()[0].creation_date == int(local.clock.now())
    local.close()
