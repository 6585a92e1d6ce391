"""What the algorithms of signing keys have in common, wherever a key is."""

from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA512, HashAlgorithm

from tokend_server.engines.local.keys.keyring import SigningAlgorithm

#: What each algorithm hashes with (RFC 7518, section 3.1).
HASHES: Mapping[SigningAlgorithm, type[HashAlgorithm]] = {
    SigningAlgorithm.RS512: SHA512,
    SigningAlgorithm.RS256: SHA256,
    SigningAlgorithm.ES256: SHA256,
}

#: Octets of each half of an ES256 signature (RFC 7518, section 3.4).
_ES256_OCTETS = 32


def concatenated(signature: bytes) -> bytes:
    """An ECDSA signature on P-256 as JWS wants it: R and S one after the other, instead of DER.

    Raises:
        ValueError: It is no DER of such a signature.
    """
    r, s = decode_dss_signature(signature)
    try:
        return r.to_bytes(_ES256_OCTETS) + s.to_bytes(_ES256_OCTETS)
    except OverflowError:  # a number that is negative or too long
        raise ValueError("no signature on P-256") from None
