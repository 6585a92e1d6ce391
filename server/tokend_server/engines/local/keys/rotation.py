"""Rotates signing keys: adds the next key, and removes keys whose tokens have expired."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tokend_server.clock import Clock
from tokend_server.config import KeyTimes
from tokend_server.engines.local.keys.keyring import (
    KeyState,
    SigningAlgorithm,
    SigningKey,
    key_state,
    succession,
    tokens_expired_by,
)
from tokend_server.engines.local.keys.manager import KeyManager, new_signing_key, store_signing_key
from tokend_server.engines.local.keys.plan import Action, Step, replacement, signs_soon
from tokend_server.engines.local.keys.store import KeyStore
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.model import NumericDate


class KeyNotFound(Exception):
    """Raised when the store has no key with that id."""


class KeyExists(Exception):
    """Raised when the store already has a key."""


class KeyInUse(Exception):
    """Raised when a key cannot be removed.

    Attributes:
        tokens_expired_by: When its tokens have expired; None for a key that signs or soon will.
    """

    def __init__(self, tokens_expired_by: NumericDate | None) -> None:
        super().__init__(tokens_expired_by)
        self.tokens_expired_by = tokens_expired_by


class KeyRotation:
    """Adds and removes signing keys; running servers observe the changes within seconds.

    Args:
        store: The store of the keys.
        manager: Creates new keys.
        clock: The time.
        times: The times of keys.
        in_use: The signing algorithms of pools.
    """

    def __init__(
        self,
        store: KeyStore,
        manager: KeyManager,
        clock: Clock,
        times: KeyTimes,
        in_use: frozenset[SigningAlgorithm] = frozenset(SigningAlgorithm),
    ) -> None:
        self._store = store
        self._manager = manager
        self._clock = clock
        self._times = times
        self._in_use = in_use
        self._in_doubt: dict[SigningAlgorithm, SigningKey] = {}  # keys that the store may have

    def take(self, step: Step, *, compromised: bool = False) -> str | None:
        """Takes a step of a plan; does nothing for a key that starts to sign, which happens by itself.

        Args:
            step: The step.
            compromised: Whether to remove a key although its tokens have not expired, so that they are refused.

        Returns:
            The `kid` of the key.

        Raises:
            KeyExists: The store has the key that the key manager was given.
            StaleReading: Another process added the key first.
            KeyNotFound: Another process removed the key first.
            KeyInUse: The key cannot be removed yet, because another process has changed the keys.
            EngineUnavailable: The store or the key manager does not answer.
            LastingError: The key manager creates no keys until an operator acts.
        """
        if step.action is Action.ADD:
            created = int(self._clock.now())
            return self._create_key(step.algorithm, step.generation, created, signs_in=step.signs_from - created).kid
        if step.action is Action.REMOVE and step.kid:
            self.remove(step.kid, compromised=compromised)
        return step.kid

    def add(self, algorithm: SigningAlgorithm, *, signs_in: int) -> SigningKey:
        """Creates the next key of an algorithm, which is published at once and signs `signs_in` seconds later.

        Raises:
            KeyExists: The store has the key that the key manager was given.
            StaleReading: Another process added a key at the same time.
            EngineUnavailable: The store or the key manager does not answer.
            LastingError: The key manager makes none, until an operator acts.
        """
        newest = next(iter(succession(self._store.signing_keys(), algorithm)), None)
        generation = newest.generation + 1 if newest else 1
        return self._create_key(algorithm, generation, int(self._clock.now()), signs_in=signs_in)

    def replacement(self, kid: str) -> Sequence[Step]:
        """Returns the remaining steps that replace and remove a compromised key.

        Raises:
            KeyNotFound: There is no key with that id.
            EngineUnavailable: The store does not answer.
        """
        keys = self._store.signing_keys()
        key = _find(kid, keys)
        return replacement(keys, key, self._times, self._clock.now(), in_use=key.algorithm in self._in_use)

    def remove(self, kid: str, *, compromised: bool) -> None:
        """Removes a key permanently; verifiers refuse its tokens once they have fetched the keys again.

        Args:
            kid: The key.
            compromised: Whether to remove the key although its tokens have not expired.

        Raises:
            KeyNotFound: There is no key with that id.
            KeyInUse: It signs or soon will, or has signed tokens that may not have expired.
            EngineUnavailable: The store does not answer.
        """
        removed: list[SigningKey] = []

        def check(keys: Sequence[SigningKey]) -> None:
            removed.append(self._removable(kid, keys, compromised=compromised))

        self._store.remove_signing_key(kid, check)
        self._manager.discard(removed[-1], was_kept=True)

    def discard_superseded(self, keys: Sequence[SigningKey]) -> None:
        """Discards each key that the store has not accepted and never will, because another process was first.

        Args:
            keys: All keys, read after this process last tried to add one.
        """
        kids = {each.kid for each in keys}
        for key in tuple(self._in_doubt.values()):
            if _is_generation_taken(key.algorithm, key.generation, keys):
                del self._in_doubt[key.algorithm]
                if key.kid not in kids:
                    self._manager.discard(key, was_kept=False)

    def _create_key(
        self, algorithm: SigningAlgorithm, generation: int, created: NumericDate, *, signs_in: int
    ) -> SigningKey:
        held = self._store.signing_keys()
        if _is_generation_taken(algorithm, generation, held):
            raise StaleReading
        key = self._new(algorithm, generation, created, signs_in=signs_in)
        if key.kid in {each.kid for each in held}:
            raise KeyExists
        self._in_doubt[algorithm] = key
        try:
            store_signing_key(self._store, self._manager, key)
        except StaleReading:
            del self._in_doubt[algorithm]
            raise
        del self._in_doubt[algorithm]
        return key

    def _new(self, algorithm: SigningAlgorithm, generation: int, created: NumericDate, *, signs_in: int) -> SigningKey:
        """Returns a new key, or that of the last attempt if the store did not answer: KMS charges for keys."""
        made = self._in_doubt.get(algorithm)
        if made and made.generation == generation:
            return replace(made, creation_date=created, signs_from=created + signs_in)
        return new_signing_key(self._manager, algorithm, generation=generation, created=created, signs_in=signs_in)

    def _removable(self, kid: str, keys: Sequence[SigningKey], *, compromised: bool) -> SigningKey:
        key, now = _find(kid, keys), self._clock.now()
        if compromised and key.algorithm not in self._in_use:
            return key
        if signs_soon(key, keys, self._times, now):
            raise KeyInUse(None)
        end = tokens_expired_by(key, keys, self._times)
        if key_state(key, keys, now) is not KeyState.PUBLISHED and end and now < end and not compromised:
            raise KeyInUse(end)
        return key


def _is_generation_taken(algorithm: SigningAlgorithm, generation: int, keys: Iterable[SigningKey]) -> bool:
    return any(each.generation >= generation for each in succession(keys, algorithm))


def _find(kid: str, keys: Sequence[SigningKey]) -> SigningKey:
    for key in keys:
        if key.kid == kid:
            return key
    raise KeyNotFound
