"""Tokens that verify."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

#: What a fake signs with. With ES256 no two tokens are the same; with RS512, tokens of one user and one second are.
FakeAlgorithm: TypeAlias = Literal["ES256", "RS512"]

_KID = "fake"


class FakeSigner:
    """Signs with a key of its own, or, for RS512, with that of this process.

    Attributes:
        algorithm: By what it signs.
        jwks: The JWK Set (RFC 7517, section 5) with its public key, as JSON.
    """

    def __init__(self, algorithm: FakeAlgorithm) -> None:
        self.algorithm = algorithm
        self._key = ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else _rsa_key()
        public = json.loads(jwt.get_algorithm_by_name(algorithm).to_jwk(self._key.public_key()))
        self.jwks = json.dumps({"keys": [{**public, "kid": _KID, "alg": algorithm, "use": "sig"}]})

    def sign(self, claims: Mapping[str, Any]) -> str:
        """The claims as a JWT in compact form."""
        return jwt.encode(dict(claims), self._key, self.algorithm, headers={"kid": _KID, "typ": "JWS"})


@cache
def _rsa_key() -> rsa.RSAPrivateKey:
    # Generating one takes a while, and tests make many servers.
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)
