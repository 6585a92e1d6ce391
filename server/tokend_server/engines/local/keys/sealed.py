"""Encryption of private keys by a wrapping key: AES-256-GCM (NIST SP 800-38D) with the record as associated data.

A ciphertext can be decrypted only for the key, the algorithm and the method for which it was created.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.manager import unusable
from tokend_server.model import Secret

#: Bytes of a nonce. Nonces are random, so a wrapping key may encrypt 2^32 keys (NIST SP 800-38D, section 8.3).
NONCE_BYTES = 12

#: A prefix of the associated data that no other use of a wrapping key has.
_USE = "tokend signing key"

_ID_LABEL = b"tokend wrapping key id"
_ID_BYTES = 8

#: Returns a number of unpredictable random bytes.
RandomBytes = Callable[[int], bytes]

_AnyMaterial = TypeVar("_AnyMaterial", bound="Material")


def _decoded(value: object) -> object:
    return b64decode(value, validate=True) if isinstance(value, str) else value


#: Bytes that are encoded in base64 in JSON.
Base64 = Annotated[
    bytes,
    BeforeValidator(_decoded),
    PlainSerializer(lambda value: b64encode(value).decode("ascii"), when_used="json"),
]


class Material(BaseModel):
    """The `material` of an encrypted key, for all methods.

    Attributes:
        method: The method.
        version: The version of this format.
        wrapping_key: The id of the wrapping key, which discloses nothing about it.
        nonce: The nonce.
        ciphertext: The private key, PKCS #8, PEM, with the tag of GCM at the end.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    method: str
    version: Literal[1] = 1
    wrapping_key: str = Field(min_length=1, max_length=2048)
    nonce: Base64 = Field(min_length=NONCE_BYTES, max_length=NONCE_BYTES)
    ciphertext: Base64 = Field(min_length=17, max_length=65_536)

    def serialized(self) -> Secret:
        """Returns the `material` as a JSON object."""
        return Secret(self.model_dump_json(exclude_none=True))


class WrappingKey:
    """A wrapping key, which is never printed.

    Args:
        key: 32 bytes.

    Attributes:
        key_id: Its id, a keyed digest from which the key cannot be derived.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self.key_id = hmac.digest(key, _ID_LABEL, hashlib.sha256)[:_ID_BYTES].hex()

    def encrypt(self, private_key: Secret, nonce: bytes, associated_data: bytes) -> bytes:
        """Returns the ciphertext of a private key, with its tag."""
        return self._cipher.encrypt(nonce, private_key.reveal().encode(), associated_data)

    def decrypt(self, key: SigningKey, material: Material) -> Secret:
        """Returns the private key of a record.

        Raises:
            EngineMisconfigured: The record was modified, or encrypted with another wrapping key.
        """
        about = associated_data(material.method, key.kid, key.algorithm)
        try:
            return Secret(self._cipher.decrypt(material.nonce, material.ciphertext, about).decode())
        except InvalidTag:
            raise unusable(key) from None


def associated_data(method: str, kid: str, algorithm: SigningAlgorithm) -> bytes:
    """Returns the associated data of a ciphertext."""
    return orjson.dumps([_USE, 1, method, kid, algorithm.value])


def read_material(kind: type[_AnyMaterial], key: SigningKey) -> _AnyMaterial:
    """Returns the parsed `material` of a record.

    Raises:
        EngineMisconfigured: It is not of this kind.
    """
    try:
        return kind.model_validate_json(key.material.reveal())
    except ValidationError:
        raise unusable(key) from None
