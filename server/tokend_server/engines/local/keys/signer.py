"""Signs tokens with the keys of the store, and publishes them."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from joserfc.jwk import ECKey, RSAKey

from tokend_server.clock import Clock, Deadline
from tokend_server.engines.local.keys.jws import JwsSigner, TokenType
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey, signing_key, succession
from tokend_server.engines.local.keys.manager import KeyManager, keep_signing_key, new_signing_key
from tokend_server.engines.local.keys.store import KeyStore
from tokend_server.engines.local.keys.times import KEY_TIMES
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.errors import EngineUnavailable
from tokend_server.model import KeySet, Secret


class SignedToken(NamedTuple):
    """A token in compact form, and the `kid` of the key that signed it."""

    token: Secret
    key_id: str


@dataclass(frozen=True, slots=True)
class _LoadedKeys:
    """One reading of the key store; replaced whole, never changed."""

    records: tuple[SigningKey, ...]
    successions: Mapping[SigningAlgorithm, Sequence[SigningKey]]
    signers: Mapping[str, JwsSigner]
    key_set: KeySet


class TokenSigner:
    """Signs claims with the current key of an algorithm, and knows what verifiers need.

    Keys are read when the service starts and at each `refresh`, so that a signature needs no store. Methods may be
    called from many threads.

    Args:
        store: Which keys there are.
        manager: What signs with them, and makes new ones.
        clock: The time.
    """

    def __init__(self, store: KeyStore, manager: KeyManager, clock: Clock) -> None:
        self._store = store
        self._manager = manager
        self._clock = clock
        self._loaded = _load((), manager)

    def ensure_keys(self, algorithms: frozenset[SigningAlgorithm]) -> None:
        """Makes the first key of each algorithm that has none, and reads all keys.

        Concurrent processes end up with the same keys: the store accepts one first generation only.

        Raises:
            EngineUnavailable: The store or the key manager does not answer.
        """
        existing = {key.algorithm for key in self._store.signing_keys()}
        for algorithm in sorted(algorithms - existing, key=lambda each: each.value):
            key = new_signing_key(self._manager, algorithm, generation=1, created=int(self._clock.now()))
            try:
                keep_signing_key(self._store, self._manager, key)
            except StaleReading:
                continue
        self.refresh()

    def refresh(self) -> None:
        """Reads the keys again, so that keys added by other processes are published here.

        Raises:
            EngineUnavailable: The store or the key manager does not answer; the keys read before stay in use.
        """
        records = self._store.signing_keys()
        if records != self._loaded.records:
            self._loaded = _load(records, self._manager)

    def check(self, algorithm: SigningAlgorithm) -> None:
        """Makes sure that a key of the algorithm signs now.

        Raises:
            EngineUnavailable: There is none, or what holds it does not answer.
            LastingError: What holds it does not let it be used, until an operator acts.
        """
        self._current(algorithm)[1].check()

    def sign(
        self, claims: Mapping[str, Any], algorithm: SigningAlgorithm, token_type: TokenType, deadline: Deadline
    ) -> SignedToken:
        """Signs the claims, in the order given, below the members of Cognito's header.

        Raises:
            DeadlineExceeded: The deadline was spent before there was a signature.
            EngineUnavailable: No key of the algorithm signs now, or what holds it does not answer.
            TooManyRequests: What holds the key is asked too often.
            LastingError: What holds the key does not let it be used, until an operator acts.
        """
        key, signer = self._current(algorithm)
        return SignedToken(signer.sign(claims, token_type, deadline), key.kid)

    def key_set(self) -> KeySet:
        """The public keys of the last reading, as verifiers fetch them."""
        return self._loaded.key_set

    def key_age(self, algorithm: SigningAlgorithm) -> float:
        """Seconds since the key that signs now was made; not a number while none does."""
        try:
            return self._clock.now() - self._current(algorithm)[0].creation_date
        except EngineUnavailable:
            return math.nan

    def _current(self, algorithm: SigningAlgorithm) -> tuple[SigningKey, JwsSigner]:
        loaded = self._loaded
        key = signing_key(loaded.successions[algorithm], self._clock.now())
        if key is None:
            raise EngineUnavailable(f"There is no {algorithm.value} signing key.")
        return key, loaded.signers[key.kid]


def _load(records: tuple[SigningKey, ...], manager: KeyManager) -> _LoadedKeys:
    keys = {record.kid: manager.open(record) for record in records}
    successions = {algorithm: succession(records, algorithm) for algorithm in SigningAlgorithm}
    signers = {record.kid: JwsSigner(record, keys[record.kid]) for record in records}
    jwks = {"keys": [_public_jwk(record, keys[record.kid].public_key) for record in records]}
    key_set = KeySet(json.dumps(jwks).encode(), timedelta(seconds=KEY_TIMES.cache_age))
    return _LoadedKeys(records, successions, signers, key_set)


def _public_jwk(record: SigningKey, key: RSAKey | ECKey) -> dict[str, Any]:
    members = key.as_dict(private=False)
    return {
        "kty": members.pop("kty"),
        "alg": record.algorithm.value,
        "use": "sig",
        "kid": record.kid,
        **{name: members[name] for name in ("n", "e", "crv", "x", "y") if name in members},
    }
