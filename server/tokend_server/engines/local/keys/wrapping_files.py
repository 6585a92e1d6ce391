"""Files with a wrapping key of 32 random bytes, or with a passphrase. They are read at each use."""

import hashlib
import threading
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from tokend_server.engines.local.keys.sealed import Base64, RandomBytes, WrappingKey
from tokend_server.key_files import KEY_BYTES, read_key, read_short_file

#: The minimum length of a passphrase in bytes; only machines read it, so it can be long.
_MIN_PASSPHRASE_BYTES = 16

_SALT_BYTES = 16

#: The number of derived keys that are cached: to derive one takes a quarter of a second.
_MAX_DERIVED_KEYS = 64


class Scrypt(BaseModel):
    """The parameters with which a key was derived from a passphrase (RFC 7914).

    The bounds limit the memory to 64 MiB, so that no record can make this process use more.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    n: int = Field(ge=2**14, le=2**16)
    r: int = Field(ge=8, le=8)
    p: int = Field(ge=1, le=8)
    salt: Base64 = Field(min_length=_SALT_BYTES, max_length=64)


#: The parameters of new keys: 32 MiB three times, as strong as 128 MiB once (OWASP, Password Storage Cheat Sheet).
_NEW = {"n": 2**15, "r": 8, "p": 3}


class WrappingFile(Protocol):
    """A file with wrapping keys.

    Methods raise `ValueError` if the file cannot be used; the text names it and repeats nothing of its contents.
    """

    def check(self) -> None:
        """Checks that the file can be used."""
        ...

    def new_key(self) -> tuple[WrappingKey, Scrypt | None]:
        """Returns the wrapping key for a new key, and the parameters of its derivation; None if it is not derived."""
        ...

    def find_key(self, scrypt: Scrypt | None) -> WrappingKey | None:
        """Returns the wrapping key with these parameters; None if it cannot be from this file."""
        ...


class KeyFile:
    """A file with a wrapping key.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self) -> None:
        self._read()

    def new_key(self) -> tuple[WrappingKey, None]:
        return self._read(), None

    def find_key(self, scrypt: Scrypt | None) -> WrappingKey | None:
        return None if scrypt else self._read()

    def _read(self) -> WrappingKey:
        return WrappingKey(read_key(self._path))


class PassphraseFile:
    """A file with a passphrase, from which a separate wrapping key is derived for each key.

    Args:
        path: The file.
        random_bytes: Generates salts.
    """

    def __init__(self, path: Path, random_bytes: RandomBytes) -> None:
        self._path = path
        self._random_bytes = random_bytes
        self._lock = threading.Lock()
        self._derived: dict[tuple[bytes, Scrypt], WrappingKey] = {}

    def check(self) -> None:
        read_short_file(self._path, parse_passphrase)

    def new_key(self) -> tuple[WrappingKey, Scrypt]:
        scrypt = Scrypt(**_NEW, salt=self._random_bytes(_SALT_BYTES))
        return self._key(scrypt), scrypt

    def find_key(self, scrypt: Scrypt | None) -> WrappingKey | None:
        return self._key(scrypt) if scrypt else None

    def _key(self, scrypt: Scrypt) -> WrappingKey:
        parameters = read_short_file(self._path, parse_passphrase), scrypt
        with self._lock:
            if parameters not in self._derived:
                if len(self._derived) == _MAX_DERIVED_KEYS:
                    self._derived.clear()
                self._derived[parameters] = WrappingKey(_derived(*parameters))
            return self._derived[parameters]


def parse_passphrase(content: bytes) -> bytes:
    """Returns the passphrase in a file, which is its only line.

    Raises:
        ValueError: There is none, or it is too short; the text does not contain it.
    """
    line = content.removesuffix(b"\n").removesuffix(b"\r")
    if len(line.splitlines()) > 1:
        raise ValueError("has more than one line: a passphrase has one")
    if len(line) < _MIN_PASSPHRASE_BYTES:
        raise ValueError(
            f"has {len(line)} bytes, and a passphrase needs {_MIN_PASSPHRASE_BYTES}: "
            "`openssl rand -base64 24` makes one"
        )
    return line


def _derived(passphrase: bytes, scrypt: Scrypt) -> bytes:
    # hashlib releases the GIL meanwhile.
    return hashlib.scrypt(
        passphrase, salt=scrypt.salt, n=scrypt.n, r=scrypt.r, p=scrypt.p, maxmem=2**27, dklen=KEY_BYTES
    )
