"""Bearer keys of callers, of which the service has only digests."""

import base64
import hashlib
import re
from collections.abc import Callable

from tokend_server.model import Secret

#: The prefix of keys, by which secret scanners find leaked keys.
PREFIX = "tokend_"

_RANDOM_BYTES = 32
_KEY = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")
_DIGEST = re.compile(r"sha256:[0-9a-fA-F]{64}")


def new_key(random_bytes: Callable[[int], bytes]) -> Secret:
    """Returns a new key: the prefix and 256 random bits in base64url without padding (RFC 4648, section 5).

    It has no checksum, because its digest already identifies it.

    Args:
        random_bytes: Returns a number of unpredictable random bytes.
    """
    return Secret(PREFIX + base64.urlsafe_b64encode(random_bytes(_RANDOM_BYTES)).rstrip(b"=").decode("ascii"))


def is_key(text: Secret) -> bool:
    """Returns whether a text has the form of a key."""
    return _KEY.fullmatch(text.reveal()) is not None


def digest(key: Secret) -> str:
    """Returns the digest of a key for the configuration: `sha256:` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(key.reveal().encode()).hexdigest()}"


def check_digest(text: str) -> str:
    """Returns a digest of a key, if it has the form of `digest`.

    Raises:
        ValueError: It does not. The text does not contain it, because it may be the key itself.
    """
    if not _DIGEST.fullmatch(text):
        raise ValueError("must be the digest of a key: sha256: and 64 hexadecimal digits")
    return text.lower()
