"""Encrypts all private keys in another way, one by one, without any change for their users."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import Enum
from typing import NamedTuple

from tokend_server.engines.local.keys.keyring import SigningKey
from tokend_server.engines.local.keys.opening import method_not_configured, method_of
from tokend_server.engines.local.keys.store import KeyStore
from tokend_server.engines.local.keys.wrapping import Wrappings
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.errors import EngineUnavailable
from tokend_server.model import Secret

#: The number of attempts for a key that another process changes at the same time.
_ATTEMPTS = 5


class RewrapOutcome(Enum):
    """The result of a rewrap for a key."""

    REWRAPPED = "rewrapped"
    TO_BE_REWRAPPED = "to be rewrapped"
    IS_CURRENT = "is current"
    IS_ELSEWHERE = "is not in the store"
    WAS_REMOVED = "was removed meanwhile"


class Rewrapped(NamedTuple):
    """A key, and the result of a rewrap for it.

    Attributes:
        key: The key as it was read.
        outcome: The result.
    """

    key: SigningKey
    outcome: RewrapOutcome


class Rewrapping:
    """A rewrap of all keys of a store; running servers observe it within seconds.

    An interrupted rewrap can be repeated: each key has either its old or its new form.

    Args:
        store: The keys.
        wrappings: The configured wrappings, and that of new keys.
        methods_outside_store: The methods of keys whose `material` does not contain a private key.
    """

    def __init__(
        self, store: KeyStore, wrappings: Wrappings, methods_outside_store: frozenset[str] = frozenset()
    ) -> None:
        self._store = store
        self._wrappings = wrappings
        self._methods_outside_store = methods_outside_store

    def plan(self) -> Sequence[Rewrapped]:
        """Returns what `run` would do. Each key that it would rewrap is opened, and nothing is changed.

        Raises:
            EngineUnavailable: The store, or the service with a wrapping key, does not answer.
            LastingError: A key cannot be opened, or the use of a wrapping key is refused.
        """
        return [Rewrapped(key, self._planned_outcome(key)) for key in self._store.signing_keys()]

    def run(self) -> Iterator[Rewrapped]:
        """Rewraps the keys, after all have been opened.

        Raises:
            EngineUnavailable: As `plan`; the yielded keys are rewrapped.
            LastingError: As `plan`.
        """
        for planned in self.plan():
            yield planned if planned.outcome is not RewrapOutcome.TO_BE_REWRAPPED else self._rewrap(planned.key)

    def _planned_outcome(self, key: SigningKey) -> RewrapOutcome:
        if method_of(key.material) in self._methods_outside_store:
            return RewrapOutcome.IS_ELSEWHERE
        self._unwrap(key)
        return RewrapOutcome.IS_CURRENT if self._is_current(key) else RewrapOutcome.TO_BE_REWRAPPED

    def _is_current(self, key: SigningKey) -> bool:
        current = self._wrappings.current
        return self._wrappings.by_method.get(method_of(key.material)) is current and current.is_current(key)

    def _rewrap(self, key: SigningKey) -> Rewrapped:
        now: SigningKey | None = key
        for _ in range(_ATTEMPTS):
            if now is None:
                return Rewrapped(key, RewrapOutcome.WAS_REMOVED)
            if self._is_current(now):
                return Rewrapped(key, RewrapOutcome.IS_CURRENT)
            try:
                self._store.replace_material(now, self._wrap(now))
            except StaleReading:
                now = next((each for each in self._store.signing_keys() if each.kid == key.kid), None)
                continue
            return Rewrapped(key, RewrapOutcome.REWRAPPED)
        raise EngineUnavailable("The signing keys are being changed by too many processes at once.")

    def _wrap(self, key: SigningKey) -> Secret:
        """Returns the new `material` of a key, after a test that it can be opened."""
        private_key, current = self._unwrap(key), self._wrappings.current
        material = current.wrap(key.kid, key.algorithm, private_key)
        if current.unwrap(replace(key, material=material)) != private_key:
            raise AssertionError("a wrapped key differs after it is unwrapped")
        return material

    def _unwrap(self, key: SigningKey) -> Secret:
        wrapping = self._wrappings.by_method.get(method_of(key.material))
        if wrapping is None:
            raise method_not_configured(key)
        return wrapping.unwrap(key)
