"""Signs tokens with the keys of the store, and publishes them."""

import math
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from tokend_server.clock import Clock, Deadline
from tokend_server.config import KeyTimes
from tokend_server.engines.local.keys.jws import TokenType
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey, signing_key
from tokend_server.engines.local.keys.loaded_keys import NO_KEYS, LoadedKeys, load_keys
from tokend_server.engines.local.keys.manager import KeyManager, PrivateKey, keep_signing_key, new_signing_key
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
    """Signs claims with the current key of an algorithm, and knows what verifiers need.

    Keys are read when the service starts and at each `refresh`, so that a signature needs no store. Between two
    readings it goes on with the keys of the last one, within what others can have done to them meanwhile: no token is
    signed with a key that verifiers may not have, or that may be taken out before the token expires. Methods may be
    called from many threads, `refresh` from one at a time.

    Args:
        store: Which keys there are.
        manager: What signs with them, and makes new ones.
        clock: The time.
        times: The times of keys.
    """

    def __init__(self, store: KeyStore, manager: KeyManager, clock: Clock, times: KeyTimes) -> None:
        self._store = store
        self._manager = manager
        self._clock = clock
        self._times = times
        # Right after a reading, a clock ahead of this one may add the next key or have it begin, and a third one remove
        # this in time.
        self._unseen = times.shortest_notice + times.tokens_last - 2 * times.clock_skew
        self._loaded = NO_KEYS
        self._read_at, self._read_on = clock.monotonic(), clock.now()
        self._key_set = KeySet(NO_KEYS.jwks, timedelta(0))

    @property
    def keys(self) -> tuple[SigningKey, ...]:
        """All keys of the last reading."""
        return self._loaded.records

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
            EngineUnavailable: The store or the key manager does not answer; what could not be read or opened is as
                before, and the other keys are taken up.
        """
        read_at, read_on = self._clock.monotonic(), self._clock.now()
        records = self._store.signing_keys()
        if records != self._loaded.records or self._loaded.failures:
            kept_for = self._times.soonest - self._times.clock_skew - self._since_reading(read_on)
            kept_until = self._clock.monotonic() + kept_for
            self._loaded = load_keys(records, self._manager, self._loaded, kept_until, self._times, self._clock)
        self._read_at, self._read_on = read_at, read_on
        for failure in self._loaded.failures.values():
            raise failure

    def check(self, algorithm: SigningAlgorithm) -> None:
        """Makes sure that a key of the algorithm signs now.

        Raises:
            EngineUnavailable: There is none.
            LastingError: What holds it does not let it be used, until an operator acts.
        """
        loaded, key = self._current(algorithm, self._clock.now())
        loaded.signers[key.kid].check()

    def upcoming(self, algorithm: SigningAlgorithm) -> Iterator[tuple[SigningKey, PrivateKey]]:
        """The keys of an algorithm that are published and do not sign yet."""
        loaded, now = self._loaded, self._clock.now()
        return ((key, loaded.opened[key.kid]) for key in loaded.successions[algorithm] if key.signs_from > now)

    def sign(
        self, claims: Mapping[str, Any], algorithm: SigningAlgorithm, token_type: TokenType, deadline: Deadline
    ) -> SignedToken:
        """Signs the claims, in the order given, below the members of Cognito's header.

        Raises:
            DeadlineExceeded: The deadline was spent before there was a signature.
            EngineUnavailable: No key of the algorithm signs now, or may be published until the token expires, or what
                holds it does not answer.
            TooManyRequests: What holds the key is asked too often.
            LastingError: What holds the key does not let it be used, until an operator acts.
        """
        now = self._clock.now()
        loaded, key = self._current(algorithm, now)
        if "exp" in claims:
            self._check_published(loaded.published_until[key.kid], claims["exp"], now)
        return SignedToken(loaded.signers[key.kid].sign(claims, token_type, deadline), key.kid)

    def key_set(self) -> KeySet:
        """The public keys of the last reading, as verifiers fetch them; the same object until it changes."""
        loaded = self._loaded
        now = self._clock.now()
        age = timedelta(seconds=key_set_age(self._times, self._since_reading(now), loaded.unpublished, now))
        if (loaded.jwks, age) != (self._key_set.jwks, self._key_set.max_age):
            self._key_set = KeySet(loaded.jwks, age, frozenset(loaded.opened))
        return self._key_set

    def publishes(self, key_id: str | None) -> bool:
        """Whether the key set has a key."""
        return key_id in self._loaded.opened

    def key_age(self, algorithm: SigningAlgorithm) -> float:
        """Seconds since the key that signs now was made; not a number while none does."""
        now = self._clock.now()
        try:
            return now - self._current(algorithm, now)[1].creation_date
        except EngineUnavailable:
            return math.nan

    def _current(self, algorithm: SigningAlgorithm, now: float) -> tuple[LoadedKeys, SigningKey]:
        """The key that signs, and the reading that it is of: another one may come at any moment."""
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
        """Makes sure that no process that can read the keys takes the key out before a token expires.

        Raises:
            EngineUnavailable: One may.
        """
        if expires > published_until or expires - now + self._since_reading(now) > self._unseen:
            raise EngineUnavailable("The keys that sign now cannot be read, and the token would outlive those before.")

    def _since_reading(self, now: float) -> float:
        """Seconds since the keys were last read, by whichever clock has gone further.

        While a machine is suspended the monotonic clock stands still, and other processes go on.
        """
        return max(self._clock.monotonic() - self._read_at, now - self._read_on)
