"""Private keys that are encrypted by wrapping keys in files."""

from collections.abc import Sequence
from typing import Final, Literal

from pydantic import Field

from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.manager import unusable
from tokend_server.engines.local.keys.sealed import (
    NONCE_BYTES,
    Material,
    RandomBytes,
    WrappingKey,
    associated_data,
    read_material,
)
from tokend_server.engines.local.keys.wrapping_files import Scrypt, WrappingFile
from tokend_server.errors import EngineMisconfigured
from tokend_server.model import Secret

FILE: Final = "file"


class FileMaterial(Material):
    """The `material` of a key that is encrypted by a wrapping key in a file.

    Attributes:
        scrypt: The parameters with which the wrapping key was derived from a passphrase; None for a file with a key.
    """

    method: Literal["file"] = FILE
    wrapping_key: str = Field(pattern="^[0-9a-f]{16}$")
    scrypt: Scrypt | None = None


class FileWrapping:
    """The `KeyWrapping` by files.

    Args:
        current: The file for new keys; None if files are only used to decrypt keys.
        previous: Further files, which only decrypt keys.
        random_bytes: Generates nonces.
    """

    def __init__(
        self, current: WrappingFile | None, previous: Sequence[WrappingFile], random_bytes: RandomBytes
    ) -> None:
        self._current = current
        self._files = (*([current] if current else ()), *previous)
        self._random_bytes = random_bytes

    def check(self) -> list[str]:
        """Returns the problems of the files, one text for each."""
        problems = []
        for file in self._files:
            try:
                file.check()
            except ValueError as error:
                problems.append(str(error))
        return problems

    def wrap(self, kid: str, algorithm: SigningAlgorithm, private_key: Secret) -> Secret:
        if self._current is None:
            raise AssertionError("no file is configured for new keys")
        try:
            key, scrypt = self._current.new_key()
        except ValueError as error:
            raise _encryption_error(str(error)) from None
        nonce = self._random_bytes(NONCE_BYTES)
        ciphertext = key.encrypt(private_key, nonce, associated_data(FILE, kid, algorithm))
        return FileMaterial(wrapping_key=key.key_id, nonce=nonce, ciphertext=ciphertext, scrypt=scrypt).serialized()

    def unwrap(self, key: SigningKey) -> Secret:
        material = read_material(FileMaterial, key)
        problems = []
        for file in self._files:
            try:
                wrapping_key = _matching_key(file, material)
            except ValueError as error:
                problems.append(str(error))
                continue
            if wrapping_key:
                return wrapping_key.decrypt(key, material)
        raise unusable(key).with_advice("; ".join([*problems, _missing_key_advice(material)]))

    def is_current(self, key: SigningKey) -> bool:
        material = read_material(FileMaterial, key)
        try:
            return self._current is not None and _matching_key(self._current, material) is not None
        except ValueError as error:
            raise _encryption_error(str(error)) from None


def _matching_key(file: WrappingFile, material: FileMaterial) -> WrappingKey | None:
    key = file.find_key(material.scrypt)
    return key if key and key.key_id == material.wrapping_key else None


def _missing_key_advice(material: FileMaterial) -> str:
    kind = "passphrase" if material.scrypt else "key"
    return (
        f"It is encrypted by a wrapping key, {material.wrapping_key}, that no file of [keys.encryption] holds: name "
        f"the file with that {kind} in previous_{kind}_files."
    )


def _encryption_error(problem: str) -> EngineMisconfigured:
    return EngineMisconfigured("Signing keys cannot be encrypted.").with_advice(f"keys.encryption: {problem}")
