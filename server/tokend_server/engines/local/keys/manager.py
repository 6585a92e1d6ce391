"""The port to where private keys are: what makes them, and signs with them."""

from typing import Protocol

from joserfc.jwk import ECKey, RSAKey

from tokend_server.clock import Deadline
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.model import NumericDate, Secret


class PrivateKey(Protocol):
    """One key that signs. It may be used from many threads."""

    @property
    def public_key(self) -> RSAKey | ECKey:
        """What verifies its signatures: a key with nothing private in it."""
        ...

    def sign(self, data: bytes, deadline: Deadline) -> bytes:
        """The signature of the data, as JWS has it (RFC 7518, sections 3.3 and 3.4).

        Raises:
            DeadlineExceeded: The deadline was spent before there was one.
            EngineUnavailable: What holds the key does not answer.
        """
        ...


class KeyManager(Protocol):
    """Makes private keys, and opens those that it has made. It may be used from many threads.

    The key store keeps a key's `material` with its record, and the manager alone knows what that means.
    """

    def generate(self, algorithm: SigningAlgorithm) -> tuple[RSAKey | ECKey, Secret]:
        """The public part and the `material` of a new key: RSA of 2,048 bits, or an elliptic curve key on P-256.

        Raises:
            EngineUnavailable: What holds keys does not answer.
        """
        ...

    def open(self, key: SigningKey) -> PrivateKey:
        """The key of a record, ready to sign.

        Raises:
            EngineUnavailable: What holds the key does not answer, or does not let it be used.
        """
        ...


def new_signing_key(
    manager: KeyManager, algorithm: SigningAlgorithm, *, generation: int, created: NumericDate, signs_in: int = 0
) -> SigningKey:
    """A new key that signs so many seconds after its making.

    Raises:
        EngineUnavailable: What holds keys does not answer.
    """
    public_key, material = manager.generate(algorithm)
    return SigningKey(
        kid=public_key.thumbprint(),
        algorithm=algorithm,
        generation=generation,
        material=material,
        creation_date=created,
        signs_from=created + signs_in,
    )
