"""JSON Web Signatures in compact form (RFC 7515, section 7.1): made here, and read only by others.

The signature itself is `cryptography`'s. What does not depend on the payload is done once for a key, which makes a
token cost little more than its signature.
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA512, HashAlgorithm
from joserfc.jwk import ECKey, RSAKey

from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.model import Secret

#: Octets of each half of an ES256 signature (RFC 7518, section 3.4).
_ES256_OCTETS = 32

_RSA_HASHES: Mapping[SigningAlgorithm, type[HashAlgorithm]] = {
    SigningAlgorithm.RS256: SHA256,
    SigningAlgorithm.RS512: SHA512,
}


class TokenType(StrEnum):
    """The `typ` of a token's header (RFC 7515, section 4.1.9): Cognito's, or the one of RFC 7519, section 5.1."""

    JWS = "JWS"
    JWT = "JWT"


class JwsSigner:
    """Signs claims with one key, under a header with the members of Cognito's.

    Args:
        record: The key.
        key: The same, read from its PEM.
    """

    def __init__(self, record: SigningKey, key: RSAKey | ECKey) -> None:
        self._prefixes = {token_type: _prefix(record, token_type) for token_type in TokenType}
        self._sign = _signature(record.algorithm, key)

    def sign(self, claims: Mapping[str, Any], token_type: TokenType) -> Secret:
        """The claims, in the order given, as a signed token."""
        signing_input = self._prefixes[token_type] + _base64url(orjson.dumps(claims))
        return Secret((signing_input + b"." + _base64url(self._sign(signing_input))).decode("ascii"))


def _prefix(record: SigningKey, token_type: TokenType) -> bytes:
    header = {"kid": record.kid, "typ": token_type.value, "alg": record.algorithm.value}
    return _base64url(orjson.dumps(header)) + b"."


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


def _base64url(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")
