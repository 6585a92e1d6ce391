"""The port to the encryption of private keys in the store, which may also be in clear."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.opening import CLEAR, method_of
from tokend_server.model import Secret


class KeyWrapping(Protocol):
    """A way to encrypt private keys. It is thread-safe.

    Any method may raise `EngineUnavailable` if the service with the wrapping key does not answer, and a `LastingError`
    if the wrapping key cannot be used until an operator acts.
    """

    def wrap(self, kid: str, algorithm: SigningAlgorithm, private_key: Secret) -> Secret:
        """Returns the `material` of a private key, which is in PKCS #8, PEM."""
        ...

    def unwrap(self, key: SigningKey) -> Secret:
        """Returns the private key of a record, as it was passed to `wrap`.

        Raises:
            EngineMisconfigured: The wrapping key is not known here, or the record is damaged.
        """
        ...

    def is_current(self, key: SigningKey) -> bool:
        """Returns whether `wrap` would use the wrapping key of the record."""
        ...


class Wrappings(NamedTuple):
    """The configured ways to store private keys.

    Attributes:
        current: The wrapping of new keys.
        by_method: The wrappings that open keys, by the `method_of` their `material`.
    """

    current: KeyWrapping
    by_method: Mapping[str, KeyWrapping]


class Clear:
    """Stores private keys in clear."""

    def wrap(self, kid: str, algorithm: SigningAlgorithm, private_key: Secret) -> Secret:  # noqa: ARG002
        return private_key

    def unwrap(self, key: SigningKey) -> Secret:
        return key.material

    def is_current(self, key: SigningKey) -> bool:
        return method_of(key.material) == CLEAR
