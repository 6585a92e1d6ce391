"""The port to where private keys are: what makes them, and signs with them."""

from typing import Protocol

from joserfc.jwk import ECKey, RSAKey

from tokend_server.clock import Deadline
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.store import KeyStore
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.errors import EngineMisconfigured
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
            TooManyRequests: What holds the key is asked too often.
            LastingError: It does not let the key be used, until an operator acts.
        """
        ...

    def check(self) -> None:
        """Makes sure that it would sign now; makes no signature, and may answer by what it saw a short while ago.

        An outage of what holds the key says nothing of the key: other processes would meet it too.

        Raises:
            LastingError: What holds the key does not let it be used, until an operator acts.
        """
        ...


class KeyManager(Protocol):
    """Makes private keys, and opens those that it has made. It may be used from many threads.

    The key store keeps a key's `material` with its record, and the manager alone knows what that means.
    """

    def generate(self, algorithm: SigningAlgorithm, generation: int) -> tuple[RSAKey | ECKey, Secret]:
        """The public part and the `material` of a new key: RSA of 2,048 bits, or an elliptic curve key on P-256.

        Args:
            algorithm: What it will sign with.
            generation: Its place in the succession of the algorithm's keys, for those who look at it elsewhere.

        Raises:
            EngineUnavailable: What holds keys does not answer.
            LastingError: It makes none, until an operator acts.
        """
        ...

    def open(self, key: SigningKey) -> PrivateKey:
        """The key of a record, ready to sign.

        Raises:
            EngineUnavailable: What holds the key does not answer.
            EngineMisconfigured: The record is none of this manager's as it is configured, or is damaged.
        """
        ...

    def discard(self, key: SigningKey, *, was_kept: bool) -> None:
        """Gives up what is held of a key elsewhere than in its record. What fails is logged, and nothing is raised.

        Args:
            key: The key, which no store has any more.
            was_kept: Whether a store has had it, so that other processes or copies of the store may know it.
        """
        ...


def new_signing_key(
    manager: KeyManager, algorithm: SigningAlgorithm, *, generation: int, created: NumericDate, signs_in: int = 0
) -> SigningKey:
    """A new key that signs so many seconds after its making.

    Raises:
        EngineUnavailable: What holds keys does not answer.
        LastingError: It makes none, until an operator acts.
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


def keep_signing_key(store: KeyStore, manager: KeyManager, key: SigningKey) -> None:
    """Has the store keep a new key, which is discarded where another process was first.

    A key stays whole whose store does not answer: it may have been kept, as one may be that was tried before.

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
    """Makes sure that a record and its `material` are of one key.

    Raises:
        EngineMisconfigured: They are not.
    """
    expected = ECKey if key.algorithm is SigningAlgorithm.ES256 else RSAKey
    if not isinstance(public_key, expected) or public_key.thumbprint() != key.kid:
        raise unusable(key)


def unusable(key: SigningKey) -> EngineMisconfigured:
    """The error of a record that no key can be made of; nothing of its `material` is in it."""
    error = EngineMisconfigured(f"The record of signing key {key.kid} cannot be used.")
    error.advice = (
        "It is damaged, or of a kind that this release or its configuration does not know. Restore the store from a "
        "backup, or let another key sign and remove this one with `tokend keys remove`."
    )
    return error
