"""Tokens that verify, with a key that lives as long as the fake does."""

import json
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

_KID = "fake"
_ALGORITHM = "ES256"


class FakeSigner:
    """Signs with a key of its own.

    Attributes:
        jwks: The JWK Set (RFC 7517, section 5) with its public key, as JSON.
    """

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        self.jwks = json.dumps({"keys": [{**public, "kid": _KID, "alg": _ALGORITHM, "use": "sig"}]})

    def sign(self, claims: Mapping[str, Any]) -> str:
        """The claims as a JWT in compact form."""
        return jwt.encode(dict(claims), self._key, _ALGORITHM, headers={"kid": _KID, "typ": "JWS"})
