import hashlib
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TypeAlias

Field: TypeAlias = str | timedelta | Mapping[str, str] | None


def digest(fields: Iterable[Field]) -> bytes:
    """Returns a key that two requests share only if all their fields are equal.

    Returns:
        A SHA-256 digest, which does not reveal logins.
    """
    return hashlib.sha256(b"".join(map(encode, fields))).digest()


def encode(value: Field) -> bytes:
    """Encodes a value as type, length and content, so that no two values have the same encoding."""
    match value:
        case None:
            tag, content = b"n", b""
        case str():
            tag, content = b"s", value.encode()
        case timedelta():
            tag, content = b"d", str(value // timedelta(microseconds=1)).encode()
        case Mapping():
            tag, content = b"m", b"".join(encode(key) + encode(value[key]) for key in sorted(value))
    return tag + len(content).to_bytes(8) + content
