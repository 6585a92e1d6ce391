"""The port to how private keys are kept: in clear, or encrypted by a wrapping key."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple, Protocol

from joserfc.jwk import ECKey, RSAKey

from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.manager import PrivateKey
from tokend_server.engines.local.keys.opening import CLEAR, method_of
from tokend_server.engines.local.keys.stored_keys import StoredKeys
from tokend_server.model import Secret


class KeyWrapping(Protocol):
    """A way to keep private keys. It may be used from many threads.

    Any method may raise `EngineUnavailable` where what holds the wrapping key does not answer, and a `LastingError`
    where it cannot be used until an operator acts.
    """

    def wrap(self, kid: str, algorithm: SigningAlgorithm, private_key: Secret) -> Secret:
        """The `material` of a private key, which is PKCS #8, PEM."""
        ...

    def unwrap(self, key: SigningKey) -> Secret:
        """The private key of a record, as it was wrapped.

        Raises:
            EngineMisconfigured: The wrapping key is not known here, or the record is damaged.
        """
        ...

    def is_current(self, key: SigningKey) -> bool:
        """Whether `wrap` would use the wrapping key that the record was made with."""
        ...


class Wrappings(NamedTuple):
    """The ways to keep private keys that are configured.

    Attributes:
        current: That of new keys.
        by_method: What opens keys, by the `method_of` their `material`.
    """

    current: KeyWrapping
    by_method: Mapping[str, KeyWrapping]


class Clear:
    """Keeps private keys as they are."""

    def wrap(self, kid: str, algorithm: SigningAlgorithm, private_key: Secret) -> Secret:  # noqa: ARG002
        return private_key

    def unwrap(self, key: SigningKey) -> Secret:
        return key.material

    def is_current(self, key: SigningKey) -> bool:
        return method_of(key.material) == CLEAR


class WrappedKeys:
    """A `KeyManager` of keys that sign in this process, and are kept as a wrapping has them.

    Args:
        wrapping: How they are kept.
    """

    def __init__(self, wrapping: KeyWrapping) -> None:
        self._wrapping = wrapping
        self._unwrapped = StoredKeys()

    def generate(self, algorithm: SigningAlgorithm, generation: int) -> tuple[RSAKey | ECKey, Secret]:
        public_key, private_key = self._unwrapped.generate(algorithm, generation)
        return public_key, self._wrapping.wrap(public_key.thumbprint(), algorithm, private_key)

    def open(self, key: SigningKey) -> PrivateKey:
        return self._unwrapped.open(replace(key, material=self._wrapping.unwrap(key)))

    def discard(self, key: SigningKey, *, was_kept: bool) -> None:
        """All of it was in the record."""
