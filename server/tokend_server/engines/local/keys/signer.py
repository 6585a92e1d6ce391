"""Signs tokens with the keys of the store, and publishes them."""

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, NamedTuple

from tokend_server.clock import Clock, Deadline
from tokend_server.config import KeyTimes
from tokend_server.engines.local.keys.jws import TokenType
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey, signing_key
from tokend_server.engines.local.keys.loaded_keys import NO_KEYS, LoadedKeys, load_keys
from tokend_server.engines.local.keys.manager import KeyManager, PrivateKey, new_signing_key, store_signing_key
from tokend_server.engines.local.keys.plan import key_set_age
from tokend_server.engines.local.keys.store import KeyStore
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.errors import EngineUnavailable
from tokend_server.model import KeySet, Secret


class SignedToken(NamedTuple):
    """A token in compact form, and the `kid` of the key that signed it."""

    token: Secret
    key_id: str


class TokenSigner:
    """Signs claims with the current key of an algorithm, and publishes the key set.

    Keys are read when the service starts and at each `refresh`, so a signature does not access the store. Between two
    reads the signer uses the keys of the last read, and allows for changes by other processes: no token is signed with
    a key that verifiers may not have, or that may be removed before the token expires. All methods are thread-safe
    except `refresh`.

    Args:
        store: The store of the keys.
        manager: Creates keys, and opens them to sign.
        clock: The time.
        times: The times of keys.
    """

    def __init__(self, store: KeyStore, manager: KeyManager, clock: Clock, times: KeyTimes) -> None:
        self._store = store
        self._manager = manager
        self._clock = clock
        self._times = times
        # Right after a read, a process whose clock is ahead may add or activate the next key, and another process may
        # then remove this one.
        self._unseen = times.min_notice + times.tokens_last - 2 * times.clock_skew
        self._loaded = NO_KEYS
        self._read_at, self._read_on = clock.monotonic(), clock.now()
        self._key_set = KeySet(NO_KEYS.jwks, timedelta(0))

    @property
    def keys(self) -> tuple[SigningKey, ...]:
        """All keys of the last read."""
        return self._loaded.records

    def ensure_keys(self, algorithms: frozenset[SigningAlgorithm]) -> None:
        """Creates the first key of each algorithm that has none, and reads all keys.

        Concurrent processes get the same keys: the store accepts only one first generation.

        Raises:
            EngineUnavailable: The store or the key manager does not answer.
        """
        existing = {key.algorithm for key in self._store.signing_keys()}
        for algorithm in sorted(algorithms - existing, key=lambda each: each.value):
            key = new_signing_key(self._manager, algorithm, generation=1, created=int(self._clock.now()))
            with suppress(StaleReading):
                store_signing_key(self._store, self._manager, key)
        self.refresh()

    def refresh(self) -> None:
        """Reads the keys again, to publish keys that other processes have added.

        Raises:
            EngineUnavailable: The store or the key manager does not answer; keys that could not be read or opened stay
                as they were, and all other changes are applied.
        """
        read_at, read_on = self._clock.monotonic(), self._clock.now()
        records = self._store.signing_keys()
        if records != self._loaded.records or self._loaded.failures:
            kept_for = self._times.min_signing_delay - self._times.clock_skew - self._since_reading(read_on)
            kept_until = self._clock.monotonic() + kept_for
            self._loaded = load_keys(records, self._manager, self._loaded, kept_until, self._times, self._clock)
        self._read_at, self._read_on = read_at, read_on
        for failure in self._loaded.failures.values():
            raise failure

    def check(self, algorithm: SigningAlgorithm) -> None:
        """Checks that a key of the algorithm can sign now.

        Raises:
            EngineUnavailable: There is no such key.
            LastingError: The key manager refuses the use of the key until an operator acts.
        """
        loaded, key = self._current(algorithm, self._clock.now())
        loaded.signers[key.kid].check()

    def upcoming(self, algorithm: SigningAlgorithm) -> Iterator[tuple[SigningKey, PrivateKey]]:
        """Yields the keys of an algorithm that are published but do not sign yet."""
        loaded, now = self._loaded, self._clock.now()
        return ((key, loaded.opened[key.kid]) for key in loaded.successions[algorithm] if key.signs_from > now)

    def sign(
        self, claims: Mapping[str, Any], algorithm: SigningAlgorithm, token_type: TokenType, deadline: Deadline
    ) -> SignedToken:
        """Signs the claims, in their order, with a header that has the members of Cognito's.

        Raises:
            DeadlineExceeded: The deadline passed before the signature.
            EngineUnavailable: No key of the algorithm signs now, the key may not be published until the token expires,
                or the key manager does not answer.
            TooManyRequests: The key manager throttles.
            LastingError: The key manager refuses the use of the key until an operator acts.
        """
        now = self._clock.now()
        loaded, key = self._current(algorithm, now)
        self._check_published(loaded.published_until[key.kid], claims["exp"], now)
        return SignedToken(loaded.signers[key.kid].sign(claims, token_type, deadline), key.kid)

    def key_set(self) -> KeySet:
        """Returns the public keys of the last read for verifiers; the same object until it changes."""
        loaded = self._loaded
        now = self._clock.now()
        age = timedelta(seconds=key_set_age(self._times, self._since_reading(now), loaded.unpublished, now))
        if (loaded.jwks, age) != (self._key_set.jwks, self._key_set.max_age):
            self._key_set = KeySet(loaded.jwks, age, frozenset(loaded.opened))
        return self._key_set

    def publishes(self, key_id: str | None) -> bool:
        """Returns whether the key set has a key."""
        return key_id in self._loaded.opened

    def key_age(self, algorithm: SigningAlgorithm) -> float:
        """Returns the age in seconds of the key that signs now; NaN if there is none."""
        now = self._clock.now()
        try:
            return now - self._current(algorithm, now)[1].creation_date
        except EngineUnavailable:
            return math.nan

    def _current(self, algorithm: SigningAlgorithm, now: float) -> tuple[LoadedKeys, SigningKey]:
        """Returns the key that signs, and the snapshot that it is from, which may be replaced at any time."""
        loaded = self._loaded
        candidates = loaded.successions[algorithm]
        if loaded.held:
            known = self._clock.monotonic()
            candidates = [key for key in candidates if loaded.held.get(key.kid, known) <= known] or candidates
        key = signing_key(candidates, now)
        if key is None:
            raise EngineUnavailable(f"There is no {algorithm.value} signing key.")
        return loaded, key

    def _check_published(self, published_until: float, expires: float, now: float) -> None:
        """Checks that no process that can read the keys will remove the key before a token expires.

        Raises:
            EngineUnavailable: A process may remove it.
        """
        if expires > published_until or expires - now + self._since_reading(now) > self._unseen:
            raise EngineUnavailable(
                "The signing keys cannot be read, and known ones may be removed before the token expires."
            )

    def _since_reading(self, now: float) -> float:
        """Returns the seconds since the keys were last read, by the clock that shows more.

        While a machine is suspended, its monotonic clock stops but other processes continue.
        """
        return max(self._clock.monotonic() - self._read_at, now - self._read_on)
