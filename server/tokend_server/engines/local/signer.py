"""Signs tokens with the keys of the store, and publishes them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey
from joserfc.util import json_b64encode, urlsafe_b64encode

from tokend_server.clock import Clock
from tokend_server.engines.local.keyring import SigningAlgorithm, SigningKey, signing_key
from tokend_server.engines.local.store import KeyStore, StaleReading
from tokend_server.errors import EngineUnavailable
from tokend_server.model import KeySet, Secret

#: How long verifiers may keep the key set: well below the hour that a key is published before it signs.
JWKS_MAX_AGE = timedelta(minutes=5)

_REGISTRY = jws.JWSRegistry(algorithms=[algorithm.value for algorithm in SigningAlgorithm])
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class _JwsSigner:
    """Makes JWSs with one key. What does not depend on the claims is done once."""

    def __init__(self, record: SigningKey) -> None:
        key_type = ECKey if record.algorithm is SigningAlgorithm.ES256 else RSAKey
        self.key = key_type.import_key(record.private_key.reveal())
        self._algorithm = _REGISTRY.get_alg(record.algorithm.value)
        self._header = json_b64encode({"kid": record.kid, "typ": "JWS", "alg": record.algorithm.value})

    def sign(self, claims: Mapping[str, Any]) -> Secret:
        """The claims as a JWS in compact form (RFC 7515, section 7.1)."""
        signing_input = self._header + b"." + urlsafe_b64encode(_to_json(claims).encode())
        signature = self._algorithm.sign(signing_input, self.key)
        return Secret((signing_input + b"." + urlsafe_b64encode(signature)).decode())


@dataclass(frozen=True, slots=True)
class _LoadedKeys:
    """One reading of the key store; replaced whole, never changed."""

    records: tuple[SigningKey, ...]
    signers: Mapping[str, _JwsSigner]
    key_set: KeySet


class TokenSigner:
    """Signs claims with the current key of an algorithm, and knows what verifiers need.

    Keys are read when the service starts and at each `refresh`, so that a signature needs no store. Methods may be
    called from many threads.
    """

    def __init__(self, store: KeyStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._loaded = _load(())

    def ensure_keys(self, algorithms: frozenset[SigningAlgorithm]) -> None:
        """Makes the first key of each algorithm that has none, and reads all keys.

        Concurrent processes end up with the same keys: the store accepts one first generation only.

        Raises:
            EngineUnavailable: The store does not answer.
        """
        existing = {key.algorithm for key in self._store.signing_keys()}
        for algorithm in sorted(algorithms - existing, key=lambda each: each.value):
            key = generate_signing_key(algorithm, generation=1, created=int(self._clock.now()))
            try:
                self._store.add_signing_key(key)
            except StaleReading:
                continue
        self.refresh()

    def refresh(self) -> None:
        """Reads the keys again, so that keys added by other processes are published here.

        Raises:
            EngineUnavailable: The store does not answer; the keys read before stay in use.
        """
        records = self._store.signing_keys()
        if records != self._loaded.records:
            self._loaded = _load(records)

    def check(self, algorithm: SigningAlgorithm) -> None:
        """Makes sure that a key of the algorithm signs now.

        Raises:
            EngineUnavailable: None does.
        """
        self._signing_key(self._loaded, algorithm)

    def sign(self, claims: Mapping[str, Any], algorithm: SigningAlgorithm) -> Secret:
        """The claims, in the order given, as a signed JWT with Cognito's header.

        Raises:
            EngineUnavailable: No key of the algorithm signs now.
        """
        loaded = self._loaded
        return loaded.signers[self._signing_key(loaded, algorithm).kid].sign(claims)

    def key_set(self) -> KeySet:
        """The public keys of the last reading, as verifiers fetch them."""
        return self._loaded.key_set

    def keys(self) -> tuple[SigningKey, ...]:
        """The keys of the last reading."""
        return self._loaded.records

    def key_age(self, algorithm: SigningAlgorithm) -> float:
        """Seconds since the key that signs now was made.

        Raises:
            EngineUnavailable: No key of the algorithm signs now.
        """
        return self._clock.now() - self._signing_key(self._loaded, algorithm).creation_date

    def _signing_key(self, loaded: _LoadedKeys, algorithm: SigningAlgorithm) -> SigningKey:
        key = signing_key(loaded.records, algorithm, self._clock.now())
        if key is None:
            raise EngineUnavailable(f"There is no {algorithm.value} signing key.")
        return key


def generate_signing_key(algorithm: SigningAlgorithm, *, generation: int, created: int) -> SigningKey:
    """A new key that signs from now on: RSA of 2,048 bits, or an elliptic curve key on P-256."""
    key: RSAKey | ECKey
    if algorithm is SigningAlgorithm.ES256:
        key = ECKey.import_key(ec.generate_private_key(ec.SECP256R1()))
    else:
        key = RSAKey.import_key(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    return SigningKey(
        kid=key.thumbprint(),
        algorithm=algorithm,
        generation=generation,
        private_key=Secret(key.as_pem(private=True).decode()),
        creation_date=created,
        signs_from=created,
    )


def _load(records: tuple[SigningKey, ...]) -> _LoadedKeys:
    signers = {record.kid: _JwsSigner(record) for record in records}
    jwks = {"keys": [_public_jwk(record, signers[record.kid].key) for record in records]}
    return _LoadedKeys(records, signers, KeySet(json.dumps(jwks).encode(), JWKS_MAX_AGE))


def _public_jwk(record: SigningKey, key: RSAKey | ECKey) -> dict[str, Any]:
    members = key.as_dict(private=False)
    return {
        "kty": members.pop("kty"),
        "alg": record.algorithm.value,
        "use": "sig",
        "kid": record.kid,
        **{name: members[name] for name in ("n", "e", "crv", "x", "y") if name in members},
    }
