"""Access keys of callers that sign requests like AWS clients.

The verification of AWS signatures needs the secret itself, not a digest. Therefore secrets are not stored: they are
derived from the id of the access key and from a key in a file of the service.
"""

import base64
import hmac
import re
from collections.abc import Callable

from tokend_server.model import Secret

#: The prefix of access key ids, which AWS does not use (IAM User Guide, "Unique identifiers").
PREFIX = "TKND"

_RANDOM_BYTES = 10
_ACCESS_KEY_ID = re.compile(rf"{PREFIX}[A-Z2-7]{{16}}")

#: Separates these secrets from other values derived from the key.
_LABEL = b"tokend secret access key 1\0"

#: The number of bytes for the 40 characters of AWS's secrets.
_SECRET_BYTES = 30


def new_access_key_id(random_bytes: Callable[[int], bytes]) -> str:
    """Returns a new access key id: 20 characters, as AWS's, with 80 random bits.

    Args:
        random_bytes: Returns a number of unpredictable random bytes.
    """
    return PREFIX + base64.b32encode(random_bytes(_RANDOM_BYTES)).decode("ascii")


def secret_access_key(key: bytes, access_key_id: str) -> Secret:
    """Returns the secret of an access key: 40 characters, as AWS's, from 240 bits of HMAC-SHA-256.

    Args:
        key: 32 random bytes.
        access_key_id: The access key.
    """
    digest = hmac.digest(key, _LABEL + access_key_id.encode(), "sha256")
    return Secret(base64.b64encode(digest[:_SECRET_BYTES]).decode("ascii"))


def check_access_key_id(text: str) -> str:
    """Returns an access key id, if it has the form of `new_access_key_id`.

    Raises:
        ValueError: It does not. The text does not contain it, because it may be a secret.
    """
    if not _ACCESS_KEY_ID.fullmatch(text):
        raise ValueError(f"must be an access key id: {PREFIX} and 16 characters, as `tokend callers new-aws-key` makes")
    return text


def name_by_access_key(name: str) -> str:
    """Returns the name of a caller that signs with an access key."""
    return f"aws:{name}"
