"""Files with what wraps private keys: 32 random bytes, or a passphrase. They are read again at each use."""

import hashlib
import threading
from pathlib import Path
from typing import NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field

from tokend_server.engines.local.keys.sealed import Base64, RandomBytes, WrappingKey
from tokend_server.key_files import KEY_BYTES, read_key, read_short

#: Bytes of a passphrase. One that machines alone read can be long.
_LEAST_PASSPHRASE = 16

_SALT_BYTES = 16

#: Keys of passphrases that are remembered: deriving one takes a quarter of a second.
_MOST_DERIVED = 64


class Scrypt(BaseModel):
    """The parameters with which a key was derived from a passphrase (RFC 7914).

    The bounds are of what this release derives at all: 64 MiB, so that no record can have it take more.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    n: int = Field(ge=2**14, le=2**16)
    r: int = Field(ge=8, le=8)
    p: int = Field(ge=1, le=8)
    salt: Base64 = Field(min_length=_SALT_BYTES, max_length=64)


#: What new keys are derived with: 32 MiB three times, as strong as 128 MiB once (OWASP, Password Storage Cheat Sheet).
_NEW = {"n": 2**15, "r": 8, "p": 3}


class Derived(NamedTuple):
    """A wrapping key, and how it was derived; None for one that was not."""

    key: WrappingKey
    scrypt: Scrypt | None


class WrappingFile(Protocol):
    """A file that gives wrapping keys.

    Methods raise `ValueError` where the file cannot be used; the text names it and repeats nothing of it.
    """

    def check(self) -> None:
        """Makes sure that the file can be used."""
        ...

    def new(self) -> Derived:
        """The wrapping key of a key that is made now."""
        ...

    def of(self, scrypt: Scrypt | None) -> WrappingKey | None:
        """The wrapping key of a key that was made with these parameters; None where it cannot be this file's."""
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

    def new(self) -> Derived:
        return Derived(self._read(), None)

    def of(self, scrypt: Scrypt | None) -> WrappingKey | None:
        return None if scrypt else self._read()

    def _read(self) -> WrappingKey:
        return WrappingKey(read_key(self._path))


class PassphraseFile:
    """A file with a passphrase, of which each key has a wrapping key of its own.

    Args:
        path: The file.
        random_bytes: Makes salts.
    """

    def __init__(self, path: Path, random_bytes: RandomBytes) -> None:
        self._path = path
        self._random_bytes = random_bytes
        self._lock = threading.Lock()
        self._derived: dict[tuple[bytes, Scrypt], WrappingKey] = {}

    def check(self) -> None:
        read_short(self._path, passphrase_of)

    def new(self) -> Derived:
        scrypt = Scrypt(**_NEW, salt=self._random_bytes(_SALT_BYTES))
        return Derived(self._key(scrypt), scrypt)

    def of(self, scrypt: Scrypt | None) -> WrappingKey | None:
        return self._key(scrypt) if scrypt else None

    def _key(self, scrypt: Scrypt) -> WrappingKey:
        asked = read_short(self._path, passphrase_of), scrypt
        with self._lock:
            if asked not in self._derived:
                if len(self._derived) == _MOST_DERIVED:
                    self._derived.clear()
                self._derived[asked] = WrappingKey(_derived(*asked))
            return self._derived[asked]


def passphrase_of(content: bytes) -> bytes:
    """The passphrase in a file: its one line.

    Raises:
        ValueError: There is none, or it is too short; the text repeats nothing of it.
    """
    line = content.removesuffix(b"\n").removesuffix(b"\r")
    if len(line.splitlines()) > 1:
        raise ValueError("has more than one line: a passphrase is one")
    if len(line) < _LEAST_PASSPHRASE:
        raise ValueError(
            f"has {len(line)} bytes, and a passphrase needs {_LEAST_PASSPHRASE}: `openssl rand -base64 24` makes one"
        )
    return line


def _derived(passphrase: bytes, scrypt: Scrypt) -> bytes:
    # hashlib lets other threads run meanwhile.
    return hashlib.scrypt(
        passphrase, salt=scrypt.salt, n=scrypt.n, r=scrypt.r, p=scrypt.p, maxmem=2**27, dklen=KEY_BYTES
    )
