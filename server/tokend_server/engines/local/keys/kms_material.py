"""The `material` of a key in KMS: a JSON object without secrets."""

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any, Final

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from joserfc.jwk import ECKey, RSAKey

from tokend_server.model import Secret

#: The `method` of such material.
METHOD = "aws-kms"

#: The `method` of private keys in the store that are encrypted with data keys of KMS.
METHOD_OF_ENVELOPES: Final = "aws-kms-envelope"

#: The ARN of a key ("Resource types defined by AWS Key Management Service", service authorization reference).
KEY_ARN = re.compile(r"arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class KmsMaterial:
    """A key in KMS.

    Attributes:
        key_arn: Its ARN.
        public_key: Its public key in the format of GetPublicKey: DER, SubjectPublicKeyInfo.
        is_ours: Whether tokend created it, and so may delete it.
    """

    key_arn: str
    public_key: bytes
    is_ours: bool

    def serialized(self) -> Secret:
        """Returns it as stored in the key store."""
        members = {
            "method": METHOD,
            "key_arn": self.key_arn,
            "public_key": b64encode(self.public_key).decode(),
            "made_by_tokend": self.is_ours,
        }
        return Secret(orjson.dumps(members).decode())


def region_of(arn: str) -> str:
    """Returns the Region in an ARN."""
    return arn.split(":")[3]


def read_material(material: Secret) -> KmsMaterial:
    """Parses the result of `KmsMaterial.serialized`.

    Raises:
        ValueError: It has another format.
    """
    members: Any = orjson.loads(material.reveal())
    try:
        method, key_arn, public_key = members["method"], members["key_arn"], members["public_key"]
        is_ours = members["made_by_tokend"]
        fits = method == METHOD and KEY_ARN.fullmatch(key_arn) and isinstance(is_ours, bool)
        der = b64decode(public_key, validate=True)
    except (KeyError, TypeError) as error:
        raise ValueError from error
    if not fits:
        raise ValueError
    return KmsMaterial(key_arn, der, is_ours)


def kms_key_arn(material: Secret) -> str | None:
    """Returns the ARN of a key in KMS; None for other keys."""
    try:
        return read_material(material).key_arn
    except ValueError:
        return None


def read_public_key(der: bytes) -> RSAKey | ECKey:
    """Returns the public key in a DER-encoded SubjectPublicKeyInfo as a JWK.

    Raises:
        ValueError: It is neither RSA with 2,048 bits nor P-256.
    """
    try:
        key = load_der_public_key(der)
    except UnsupportedAlgorithm as error:
        raise ValueError from error
    if isinstance(key, rsa.RSAPublicKey) and key.key_size == 2048:  # noqa: PLR2004 - as in the docstring
        return RSAKey.import_key(key)
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return ECKey.import_key(key)
    raise ValueError
