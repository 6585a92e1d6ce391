"""The port to key managers, which create private keys and sign with them."""

from typing import Protocol

from joserfc.jwk import ECKey, RSAKey

from tokend_server.clock import Deadline
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.store import KeyStore
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.errors import EngineMisconfigured
from tokend_server.model import NumericDate, Secret


class PrivateKey(Protocol):
    """A key that signs. It is thread-safe."""

    @property
    def public_key(self) -> RSAKey | ECKey:
        """The public key, without any private part."""
        ...

    def sign(self, data: bytes, deadline: Deadline) -> bytes:
        """Returns the signature of data in the format of JWS (RFC 7518, sections 3.3 and 3.4).

        Raises:
            DeadlineExceeded: The deadline passed before the signature.
            EngineUnavailable: The key manager does not answer.
            TooManyRequests: The key manager throttles.
            LastingError: The key manager refuses the use of the key until an operator acts.
        """
        ...

    def check(self) -> None:
        """Checks that it could sign now, without a signature; it may use a recent result.

        An outage of the key manager is not reported, because it affects other processes too.

        Raises:
            LastingError: The key manager refuses the use of the key until an operator acts.
        """
        ...


class KeyManager(Protocol):
    """Creates private keys, and opens those that it has created. It is thread-safe.

    The key store keeps a key's `material` with its record; only the manager can interpret it.
    """

    def generate(self, algorithm: SigningAlgorithm, generation: int) -> tuple[RSAKey | ECKey, Secret]:
        """Creates a key, RSA with 2,048 bits or P-256, and returns its public key and its `material`.

        Args:
            algorithm: Its algorithm.
            generation: Its position in the succession of the algorithm's keys, for descriptions outside the store.

        Raises:
            EngineUnavailable: The key manager does not answer.
            LastingError: The key manager creates no keys until an operator acts.
        """
        ...

    def open(self, key: SigningKey) -> PrivateKey:
        """Opens the key of a record, ready to sign.

        Raises:
            EngineUnavailable: The key manager does not answer.
            EngineMisconfigured: The record is damaged, or not of this manager as it is configured.
        """
        ...

    def discard(self, key: SigningKey, *, was_kept: bool) -> None:
        """Deletes the parts of a key that are not in its record. Failures are logged, not raised.

        Args:
            key: The key, which is no longer in any store.
            was_kept: Whether it was in a store, so that other processes or copies of the store may have it.
        """
        ...


def new_signing_key(
    manager: KeyManager, algorithm: SigningAlgorithm, *, generation: int, created: NumericDate, signs_in: int = 0
) -> SigningKey:
    """Creates a key that signs `signs_in` seconds after its creation.

    Raises:
        EngineUnavailable: The key manager does not answer.
        LastingError: The key manager creates no keys until an operator acts.
    """
    public_key, material = manager.generate(algorithm, generation)
    return SigningKey(
        kid=public_key.thumbprint(),
        algorithm=algorithm,
        generation=generation,
        material=material,
        creation_date=created,
        signs_from=created + signs_in,
    )


def store_signing_key(store: KeyStore, manager: KeyManager, key: SigningKey) -> None:
    """Stores a new key, or discards it if another process was first.

    If the store does not answer, the key is not discarded: it may have been stored, also by an earlier attempt.

    Raises:
        StaleReading: Another process added a key of the same algorithm and generation first.
        EngineUnavailable: The store does not answer.
    """
    try:
        store.add_signing_key(key)
    except StaleReading:
        if key.kid not in {each.kid for each in store.signing_keys()}:
            manager.discard(key, was_kept=False)
        raise


def check_public_key(key: SigningKey, public_key: RSAKey | ECKey) -> None:
    """Checks that a record and its `material` belong to the same key.

    Raises:
        EngineMisconfigured: They do not.
    """
    expected = ECKey if key.algorithm is SigningAlgorithm.ES256 else RSAKey
    if not isinstance(public_key, expected) or public_key.thumbprint() != key.kid:
        raise unusable(key)


def unusable(key: SigningKey) -> EngineMisconfigured:
    """Returns the error for a record that cannot be opened; it contains nothing of the `material`."""
    return EngineMisconfigured(f"The record of signing key {key.kid} cannot be used.").with_advice(
        "It is damaged, or of a kind that this release or its configuration does not know. Restore the store from a "
        "backup, or let another key sign and remove this one with `tokend keys remove`."
    )
