"""Bearer keys of callers, of which the service holds only digests."""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence

from tokend_server.callers.bearer import bearer_token
from tokend_server.callers.presented import Presented
from tokend_server.model import Secret

#: What every key begins with, so that secret scanners find keys where they should not be.
PREFIX = "tokend_"

_RANDOM_BYTES = 32
_KEY = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")
_DIGEST = re.compile(r"sha256:[0-9a-fA-F]{64}")


def new_key(random_bytes: Callable[[int], bytes]) -> Secret:
    """A new key: the prefix and 256 random bits in base64url without padding (RFC 4648, section 5).

    It has no checksum: its digest already tells it from every other text.

    Args:
        random_bytes: Gives a number of unpredictable random bytes.
    """
    return Secret(PREFIX + base64.urlsafe_b64encode(random_bytes(_RANDOM_BYTES)).rstrip(b"=").decode("ascii"))


def digest(key: Secret) -> str:
    """What the configuration holds of a key: `sha256:` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(key.reveal().encode()).hexdigest()}"


def check_digest(text: str) -> str:
    """Returns a digest of a key as `digest` writes it.

    Raises:
        ValueError: It is not a digest. The error does not repeat it, because it may be the key itself.
    """
    if not _DIGEST.fullmatch(text):
        raise ValueError("must be the digest of a key: sha256: and 64 hexadecimal digits")
    return text.lower()


class ByKey:
    """Tells who calls by the key that the call bears; callers are named `key:NAME`.

    Only keys as `new_key` makes them are looked at: a plain digest protects no secret that can be guessed.

    Args:
        digests: The digests of each caller's keys.

    Raises:
        ValueError: A digest is malformed, or is listed for two callers.
    """

    def __init__(self, digests: Mapping[str, Sequence[str]]) -> None:
        owners: dict[str, str] = {}
        for name, listed in digests.items():
            for position, text in enumerate(listed):
                held = _checked(text, f"digest {position} of {name}")
                if owners.setdefault(held, name) != name:
                    raise ValueError(f"digest {position} of {name} is also one of {owners[held]}")
        self._callers = tuple((held, f"key:{name}") for held, name in owners.items())

    def __call__(self, presented: Presented) -> str | None:
        """The name of whoever the key was made for.

        Raises:
            CallerUnauthenticated: The call has several authorizations.
        """
        token = bearer_token(presented)
        if token is None or not _KEY.fullmatch(token.reveal()):
            return None
        presented_digest, caller = digest(token), None
        for held, name in self._callers:  # all of them, always: the time must not tell which one, or how much, fits
            if hmac.compare_digest(held, presented_digest):
                caller = name
        return caller


def _checked(text: str, where: str) -> str:
    try:
        return check_digest(text)
    except ValueError as error:
        raise ValueError(f"{where} {error}") from None
