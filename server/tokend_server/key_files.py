"""Files with a key of 32 random bytes, in several formats."""

import re
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

KEY_BYTES = 32

_HEX = re.compile(rb"[0-9A-Fa-f]{64}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{43}=?")
_TEXT = re.compile(rb"[\x20-\x7e\s]*")

_FORM = "must hold 32 random bytes, or these as 64 hexadecimal digits or in base64: `openssl rand -hex 32` makes some"

#: The minimum number of different bytes among 32; random keys have fewer only once in 10^19 files.
_MIN_DISTINCT_BYTES = 12

_MAX_FILE_BYTES = 4096


def read_key(path: Path) -> bytes:
    """Returns the key in a file.

    Raises:
        ValueError: It cannot be read, or has other contents; the text names the file without its contents.
    """
    return read_short_file(path, parse_key)


def parse_key(content: bytes) -> bytes:
    """Returns the key in the contents of a file.

    Raises:
        ValueError: There is no key, or it is not random; the text does not contain it.
    """
    key = _decode(content)
    if len(set(key)) < _MIN_DISTINCT_BYTES:
        raise ValueError(f"its bytes are not random; it {_FORM}")
    return key


def _decode(content: bytes) -> bytes:
    if len(content) == KEY_BYTES and not _TEXT.fullmatch(content):
        return content
    text = content.strip()
    if _HEX.fullmatch(text):
        return bytes.fromhex(text.decode("ascii"))
    if _BASE64.fullmatch(text):
        return b64decode(text.removesuffix(b"=").translate(bytes.maketrans(b"-_", b"+/")) + b"=")
    raise ValueError(f"{_length_problem(content)}; it {_FORM}")


def _length_problem(content: bytes) -> str:
    if len(content) == KEY_BYTES:
        return "has 32 characters of text, which are not random bytes"
    if len(content) == KEY_BYTES + 1 and content.endswith(b"\n"):
        return "has 33 bytes, of which the last is a line end"
    return f"has {len(content)} bytes"


def read_short_file(path: Path, parse: Callable[[bytes], bytes]) -> bytes:
    """Returns the parsed contents of a short file.

    Raises:
        ValueError: It cannot be read, or has other contents; the text names the file.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    if len(content) > _MAX_FILE_BYTES:
        raise ValueError(f"{path}: has more than {_MAX_FILE_BYTES} bytes")
    try:
        return parse(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
