"""Hashes and signature formats of the signing algorithms, for all key managers."""

from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA512, HashAlgorithm

from tokend_server.engines.local.keys.keyring import SigningAlgorithm

#: The hash function of each algorithm (RFC 7518, section 3.1).
HASHES: Mapping[SigningAlgorithm, type[HashAlgorithm]] = {
    SigningAlgorithm.RS512: SHA512,
    SigningAlgorithm.RS256: SHA256,
    SigningAlgorithm.ES256: SHA256,
}

#: Octets of each half of an ES256 signature (RFC 7518, section 3.4).
_ES256_OCTETS = 32


def concatenated(signature: bytes) -> bytes:
    """Converts an ECDSA signature on P-256 from DER to the format of JWS, the concatenation of R and S.

    Raises:
        ValueError: It is not a DER-encoded signature on P-256.
    """
    r, s = decode_dss_signature(signature)
    try:
        return r.to_bytes(_ES256_OCTETS) + s.to_bytes(_ES256_OCTETS)
    except OverflowError:  # a negative or too long number
        raise ValueError("not a signature on P-256") from None
