"""Signs the tokens of the fakes."""

import json
import threading
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

#: The algorithms of a fake. ES256 signatures are random; otherwise, tokens of one user and one second are equal.
FakeAlgorithm: TypeAlias = Literal["RS512", "RS256", "ES256"]

_Key: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class FakeSigner:
    """Signs with the last of its keys. Thread-safe.

    The first key exists from the start, since key generation may take longer than a call. All signers of a process
    share the RSA keys: tests start many servers.

    Attributes:
        algorithm: The signature algorithm.
    """

    def __init__(self, algorithm: FakeAlgorithm) -> None:
        self.algorithm = algorithm
        self._keys: tuple[_Key, ...] = ()
        self._rotating = threading.Lock()
        self.rotate()

    @property
    def jwks(self) -> str:
        """The JWK Set (RFC 7517, section 5) with all its public keys, as JSON."""
        return json.dumps({"keys": [self._public(number, key) for number, key in enumerate(self._keys)]})

    def rotate(self) -> None:
        """Makes the signer use a new key."""
        with self._rotating:
            number = len(self._keys)
            key = ec.generate_private_key(ec.SECP256R1()) if self.algorithm == "ES256" else _rsa_key(number)
            self._keys = (*self._keys, key)

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Returns the claims as a JWT in compact form."""
        keys = self._keys
        return jwt.encode(dict(claims), keys[-1], self.algorithm, headers={"kid": _kid(len(keys) - 1), "typ": "JWS"})

    def _public(self, number: int, key: _Key) -> Mapping[str, str]:
        public = json.loads(jwt.get_algorithm_by_name(self.algorithm).to_jwk(key.public_key()))
        return {**public, "kid": _kid(number), "alg": self.algorithm, "use": "sig"}


def _kid(number: int) -> str:
    return f"fake-{number}"


@cache
def _rsa_key(_number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)
