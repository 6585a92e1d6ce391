"""What operators do with signing keys: add one to a succession, and take one out of it."""

from collections.abc import Sequence

from tokend_server.clock import Clock
from tokend_server.engines.local.keys.keyring import (
    KeyState,
    SigningAlgorithm,
    SigningKey,
    key_state,
    succession,
    tokens_expired_by,
)
from tokend_server.engines.local.keys.manager import KeyManager, keep_signing_key, new_signing_key
from tokend_server.engines.local.keys.store import KeyStore
from tokend_server.engines.local.keys.times import KEY_TIMES
from tokend_server.model import NumericDate


class KeyNotFound(Exception):
    """Raised when the store has no key of that id."""


class KeyKnown(Exception):
    """Raised when the store has a key already."""


class KeyInUse(Exception):
    """Raised when a key cannot be removed.

    Attributes:
        tokens_expired_by: When its tokens have expired; None for a key that signs or is about to.
    """

    def __init__(self, tokens_expired_by: NumericDate | None) -> None:
        super().__init__(tokens_expired_by)
        self.tokens_expired_by = tokens_expired_by


class KeyRotation:
    """Changes which signing keys there are; processes that serve follow within seconds.

    Args:
        store: Which keys there are.
        manager: What makes new ones.
        clock: The time.
    """

    def __init__(self, store: KeyStore, manager: KeyManager, clock: Clock) -> None:
        self._store = store
        self._manager = manager
        self._clock = clock

    def add(self, algorithm: SigningAlgorithm, *, signs_in: int) -> SigningKey:
        """Makes the next key of an algorithm, which is published at once and signs that many seconds later.

        Raises:
            KeyKnown: The store has the key that the key manager was given.
            StaleReading: Another process added one at the same time.
            EngineUnavailable: The store or the key manager does not answer.
            LastingError: The key manager makes none, until an operator acts.
        """
        keys = self._store.signing_keys()
        newest = next(iter(succession(keys, algorithm)), None)
        generation = newest.generation + 1 if newest else 1
        created = int(self._clock.now())
        key = new_signing_key(self._manager, algorithm, generation=generation, created=created, signs_in=signs_in)
        if key.kid in {each.kid for each in keys}:
            raise KeyKnown
        keep_signing_key(self._store, self._manager, key)
        return key

    def remove(self, kid: str, *, compromised: bool) -> None:
        """Takes a key out for good; verifiers refuse its tokens from when they next fetch the keys.

        Args:
            kid: The key.
            compromised: Whether tokens that have not expired are to be refused as well.

        Raises:
            KeyNotFound: There is none of that id.
            KeyInUse: It signs or is about to, or has signed tokens that may not have expired.
            EngineUnavailable: The store does not answer.
        """
        removed: list[SigningKey] = []

        def check(keys: Sequence[SigningKey]) -> None:
            removed.append(_removable(kid, keys, self._clock.now(), compromised=compromised))

        self._store.remove_signing_key(kid, check)
        self._manager.discard(removed[-1], was_kept=True)


def _removable(kid: str, keys: Sequence[SigningKey], now: float, *, compromised: bool) -> SigningKey:
    key = next((each for each in keys if each.kid == kid), None)
    if key is None:
        raise KeyNotFound
    states = {key_state(key, keys, moment) for moment in (now, now + KEY_TIMES.about_to_sign)}
    if KeyState.SIGNING in states:
        raise KeyInUse(None)
    end = tokens_expired_by(key, keys)
    if KeyState.PUBLISHED not in states and end and now < end and not compromised:
        raise KeyInUse(end)
    return key
