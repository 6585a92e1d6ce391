"""Creates JSON Web Signatures in compact form (RFC 7515, section 7.1).

The parts that do not depend on the payload are computed once per key: a token costs little more than its signature.
"""

from binascii import b2a_base64
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import orjson

from tokend_server.clock import Deadline
from tokend_server.engines.local.keys.keyring import SigningKey
from tokend_server.engines.local.keys.manager import PrivateKey
from tokend_server.model import Secret

#: From base64 to its alphabet for URLs (RFC 4648, section 5).
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class TokenType(StrEnum):
    """The `typ` of a token's header (RFC 7515, section 4.1.9): Cognito's, or that of RFC 7519, section 5.1."""

    JWS = "JWS"
    JWT = "JWT"


class JwsSigner:
    """Signs claims with one key, with a header that has the members of Cognito's.

    Args:
        record: The key.
        key: The opened key.

    Attributes:
        check: As of `PrivateKey`.
    """

    def __init__(self, record: SigningKey, key: PrivateKey) -> None:
        self._prefixes = {token_type: _prefix(record, token_type) for token_type in TokenType}
        self._key = key
        self.check = key.check

    def sign(self, claims: Mapping[str, Any], token_type: TokenType, deadline: Deadline) -> Secret:
        """Returns the claims, in their order, as a signed token.

        Raises:
            DeadlineExceeded: The deadline passed before the signature.
            EngineUnavailable: The key manager does not answer.
            TooManyRequests: The key manager throttles.
            LastingError: The key manager refuses the use of the key until an operator acts.
        """
        signing_input = self._prefixes[token_type] + _base64url(orjson.dumps(claims))
        return Secret((signing_input + b"." + _base64url(self._key.sign(signing_input, deadline))).decode("ascii"))


def _prefix(record: SigningKey, token_type: TokenType) -> bytes:
    header = {"kid": record.kid, "typ": token_type.value, "alg": record.algorithm.value}
    return _base64url(orjson.dumps(header)) + b"."


def _base64url(data: bytes) -> bytes:
    return b2a_base64(data, newline=False).translate(_URL_SAFE).rstrip(b"=")
