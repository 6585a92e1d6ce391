"""Keys by which requests are equal."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta

from tokend_server.model import LookupRequest, Secret, TokenRequest


def request_key(epoch: int, request: TokenRequest | LookupRequest) -> bytes:
    """Returns a key that two requests share only if all their fields are equal.

    Args:
        epoch: Distinguishes equal requests before and after a change.
        request: The request; all its fields are included, also future ones.

    Returns:
        A SHA-256 digest, which is short and discloses nothing about logins.
    """
    values = request if isinstance(request, tuple) else tuple(getattr(request, field.name) for field in fields(request))
    return hashlib.sha256(encode((epoch, type(request).__name__, values))).digest()


def encode(value: object) -> bytes:
    """Encodes a value so that no two values have the same encoding: type, length, content.

    Raises:
        TypeError: There is no rule for its type.
    """
    match value:
        case None:
            tag, content = b"n", b""
        case Secret():
            tag, content = b"x", value.reveal().encode()
        case str():
            tag, content = b"s", value.encode()
        case int():
            tag, content = b"i", str(value).encode()
        case timedelta():
            tag, content = b"d", str(value // timedelta(microseconds=1)).encode()
        case tuple():
            tag, content = b"t", b"".join(map(encode, value))
        case Mapping():
            tag, content = b"m", b"".join(encode(key) + encode(value[key]) for key in sorted(value))
        case _:
            raise TypeError(f"no encoding for {type(value).__name__}")
    return tag + len(content).to_bytes(8) + content
