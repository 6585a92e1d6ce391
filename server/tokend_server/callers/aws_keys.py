"""Access keys of callers that sign as AWS clients do.

Whoever verifies a signature of AWS's needs the secret itself, not a digest of it. So a secret is nowhere kept: it is
derived from the id of its access key and from one key that stands in a file of the service.
"""

import base64
import hmac
import re
from collections.abc import Callable

from tokend_server.model import Secret

#: What every access key id begins with: none of AWS's does (IAM User Guide, "Unique identifiers").
PREFIX = "TKND"

_RANDOM_BYTES = 10
_ACCESS_KEY_ID = re.compile(rf"{PREFIX}[A-Z2-7]{{16}}")

#: Keeps these secrets apart from whatever else is derived from a key.
_LABEL = b"tokend secret access key 1\0"

#: As many bytes as give the 40 characters of AWS's secrets.
_SECRET_BYTES = 30


def new_access_key_id(random_bytes: Callable[[int], bytes]) -> str:
    """A new access key id: 20 characters, as AWS's, of which 80 bits are random.

    Args:
        random_bytes: Gives a number of unpredictable random bytes.
    """
    return PREFIX + base64.b32encode(random_bytes(_RANDOM_BYTES)).decode("ascii")


def secret_access_key(key: bytes, access_key_id: str) -> Secret:
    """The secret of an access key: 40 characters, as AWS's, made of 240 bits of HMAC-SHA-256.

    Args:
        key: 32 random bytes.
        access_key_id: The access key.
    """
    digest = hmac.digest(key, _LABEL + access_key_id.encode(), "sha256")
    return Secret(base64.b64encode(digest[:_SECRET_BYTES]).decode("ascii"))


def check_access_key_id(text: str) -> str:
    """Returns an access key id as `new_access_key_id` makes it.

    Raises:
        ValueError: It is none. The error does not repeat it, because it may be a secret.
    """
    if not _ACCESS_KEY_ID.fullmatch(text):
        raise ValueError(f"must be an access key id: {PREFIX} and 16 characters, as `tokend callers new-aws-key` makes")
    return text


def name_by_access_key(name: str) -> str:
    """The name of a caller that signs with an access key."""
    return f"aws:{name}"
