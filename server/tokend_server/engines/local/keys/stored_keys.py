"""Private keys that are kept in the store, and sign in this process."""

from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA512, HashAlgorithm
from joserfc.jwk import ECKey, RSAKey

from tokend_server.clock import Deadline
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.model import Secret

#: Octets of each half of an ES256 signature (RFC 7518, section 3.4).
_ES256_OCTETS = 32

_RSA_HASHES: Mapping[SigningAlgorithm, type[HashAlgorithm]] = {
    SigningAlgorithm.RS256: SHA256,
    SigningAlgorithm.RS512: SHA512,
}


class StoredKey:
    """The `PrivateKey` of a PEM.

    Args:
        algorithm: What it signs with.
        material: PKCS #8, PEM.
    """

    def __init__(self, algorithm: SigningAlgorithm, material: Secret) -> None:
        key_type = ECKey if algorithm is SigningAlgorithm.ES256 else RSAKey
        key = key_type.import_key(material.reveal())
        self.public_key = _public(key)
        self._sign = _signature(algorithm, key)

    def sign(self, data: bytes, deadline: Deadline) -> bytes:  # noqa: ARG002 - it takes a fraction of a millisecond
        return self._sign(data)


class StoredKeys:
    """The `KeyManager` whose `material` is the private key itself: PKCS #8, PEM."""

    def generate(self, algorithm: SigningAlgorithm) -> tuple[RSAKey | ECKey, Secret]:
        key: RSAKey | ECKey
        if algorithm is SigningAlgorithm.ES256:
            key = ECKey.import_key(ec.generate_private_key(ec.SECP256R1()))
        else:
            key = RSAKey.import_key(rsa.generate_private_key(public_exponent=65537, key_size=2048))
        return _public(key), Secret(key.as_pem(private=True).decode())

    def open(self, key: SigningKey) -> StoredKey:
        return StoredKey(key.algorithm, key.material)


def _public(key: RSAKey | ECKey) -> RSAKey | ECKey:
    return type(key).import_key(key.as_dict(private=False))


def _signature(algorithm: SigningAlgorithm, key: RSAKey | ECKey) -> Callable[[bytes], bytes]:
    if isinstance(key, ECKey):
        ec_key, ecdsa = key.get_op_key("sign"), ECDSA(SHA256())
        return lambda data: _concatenated(ec_key.sign(data, ecdsa))
    rsa_key, padding, digest = key.get_op_key("sign"), PKCS1v15(), _RSA_HASHES[algorithm]()
    return lambda data: rsa_key.sign(data, padding, digest)


def _concatenated(signature: bytes) -> bytes:
    """An ECDSA signature as JWS wants it: R and S one after the other, instead of DER."""
    r, s = decode_dss_signature(signature)
    return r.to_bytes(_ES256_OCTETS) + s.to_bytes(_ES256_OCTETS)
