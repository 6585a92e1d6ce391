"""Private keys that are in the store, and sign in this process."""

from collections.abc import Callable
from dataclasses import replace

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc.jwk import ECKey, RSAKey

from tokend_server.clock import Deadline
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.manager import check_public_key, unusable
from tokend_server.engines.local.keys.signatures import HASHES, concatenated
from tokend_server.engines.local.keys.wrapping import Clear, KeyWrapping
from tokend_server.model import Secret


class StoredKey:
    """The `PrivateKey` of a PEM.

    Args:
        record: The key, whose `material` is PKCS #8, PEM.

    Raises:
        EngineMisconfigured: The `material` has another format, or is of another key.
    """

    def __init__(self, record: SigningKey) -> None:
        key = _read(record)
        self.public_key = _public(key)
        check_public_key(record, self.public_key)
        self._sign = _signature(record.algorithm, key)

    def sign(self, data: bytes, deadline: Deadline) -> bytes:  # noqa: ARG002 - a signature takes a fraction of a millisecond
        return self._sign(data)

    def check(self) -> None:
        """Does nothing: the key is in memory."""


class StoredKeys:
    """The `KeyManager` of keys whose `material` is the private key: PKCS #8, PEM, which may be encrypted.

    Args:
        wrapping: The way in which private keys are stored; by default in clear.
    """

    def __init__(self, wrapping: KeyWrapping | None = None) -> None:
        self._wrapping = wrapping or Clear()

    def generate(self, algorithm: SigningAlgorithm, generation: int) -> tuple[RSAKey | ECKey, Secret]:
        del generation  # it is in the record
        key: RSAKey | ECKey
        if algorithm is SigningAlgorithm.ES256:
            key = ECKey.import_key(ec.generate_private_key(ec.SECP256R1()))
        else:
            key = RSAKey.import_key(rsa.generate_private_key(public_exponent=65537, key_size=2048))
        public_key, private_key = _public(key), Secret(key.as_pem(private=True).decode())
        return public_key, self._wrapping.wrap(public_key.thumbprint(), algorithm, private_key)

    def open(self, key: SigningKey) -> StoredKey:
        return StoredKey(replace(key, material=self._wrapping.unwrap(key)))

    def discard(self, key: SigningKey, *, was_kept: bool) -> None:
        """Does nothing: the whole key was in the record."""


def _read(record: SigningKey) -> RSAKey | ECKey:
    try:
        # cryptography's validation tests primes, and would block all threads for 40 ms or more for each key.
        key = load_pem_private_key(record.material.reveal().encode(), None, unsafe_skip_rsa_key_validation=True)
    except (TypeError, ValueError, UnsupportedAlgorithm):  # it needs a password, is not a key, or is of another type
        raise unusable(record) from None
    if isinstance(key, rsa.RSAPrivateKey) and _agree(key.private_numbers()):
        return RSAKey.import_key(key)
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return ECKey.import_key(key)
    raise unusable(record)


def _agree(key: rsa.RSAPrivateNumbers) -> bool:
    """Returns whether the numbers of a key are consistent with its modulus and exponents (RFC 8017, section 3.2).

    It need not test whether `p` and `q` are primes, because tokend has generated the modulus.
    """
    return (
        min(key.p, key.q) > 1
        and key.p * key.q == key.public_numbers.n
        and all(key.public_numbers.e * key.d % (prime - 1) == 1 for prime in (key.p, key.q))
        and key.dmp1 == key.d % (key.p - 1)
        and key.dmq1 == key.d % (key.q - 1)
        and key.iqmp * key.q % key.p == 1
    )


def _public(key: RSAKey | ECKey) -> RSAKey | ECKey:
    return type(key).import_key(key.as_dict(private=False))


def _signature(algorithm: SigningAlgorithm, key: RSAKey | ECKey) -> Callable[[bytes], bytes]:
    digest = HASHES[algorithm]()
    if isinstance(key, ECKey):
        ec_key, ecdsa = key.get_op_key("sign"), ECDSA(digest)
        return lambda data: concatenated(ec_key.sign(data, ecdsa))
    rsa_key, padding = key.get_op_key("sign"), PKCS1v15()
    return lambda data: rsa_key.sign(data, padding, digest)
