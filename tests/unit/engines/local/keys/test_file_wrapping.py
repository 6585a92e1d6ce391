import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tokend_server.engines.local.keys.file_wrapping import FileWrapping
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.opening import method_of
from tokend_server.engines.local.keys.stored_keys import StoredKeys
from tokend_server.engines.local.keys.wrapping_files import KeyFile, PassphraseFile, parse_passphrase
from tokend_server.errors import EngineMisconfigured
from tokend_server.key_files import parse_key
from tokend_server.model import Secret

ES256, RS256 = SigningAlgorithm.ES256, SigningAlgorithm.RS256
PRIVATE = Secret("-----BEGIN PRIVATE KEY-----\nnot really\n-----END PRIVATE KEY-----\n")
KEY, OTHER_KEY = bytes(range(100, 132)), bytes(range(150, 182))
PASSPHRASE = b"correct horse battery staple"

Written = Callable[[str, bytes], Path]


class Randomness:
    """Counting bytes, and the requested lengths."""

    def __init__(self) -> None:
        self.requested: list[int] = []

    def __call__(self, count: int) -> bytes:
        self.requested.append(count)
        return len(self.requested).to_bytes(count)


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def write(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def randomness() -> Randomness:
    return Randomness()


@pytest.fixture
def wrapping(written: Written, randomness: Randomness) -> FileWrapping:
    return FileWrapping(KeyFile(written("key", KEY)), (), randomness)


def record(wrapping: FileWrapping, kid: str = "kid", algorithm: SigningAlgorithm = ES256) -> SigningKey:
    return SigningKey(kid, algorithm, 1, wrapping.wrap(kid, algorithm, PRIVATE), 1, 1)


def members(key: SigningKey) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(key.material.reveal())
    return found


def with_members(key: SigningKey, **changed: object) -> SigningKey:
    return replace(key, material=Secret(json.dumps(members(key) | changed)))


def test_an_encrypted_key_is_decrypted_and_its_material_has_no_plaintext(wrapping: FileWrapping) -> None:
    key = record(wrapping)
    assert wrapping.unwrap(key) == PRIVATE
    assert wrapping.is_current(key)
    assert method_of(key.material) == "file"
    assert "PRIVATE" not in key.material.reveal()
    assert KEY.hex() not in key.material.reveal()


def test_the_stored_format_matches_the_page(wrapping: FileWrapping) -> None:
    kept = members(record(wrapping))
    assert kept.keys() == {"method", "version", "wrapping_key", "nonce", "ciphertext"}
    about = b'["tokend signing key",1,"file","kid","ES256"]'
    nonce, ciphertext = (base64.b64decode(kept[name]) for name in ("nonce", "ciphertext"))
    assert AESGCM(KEY).decrypt(nonce, ciphertext, about).decode() == PRIVATE.reveal()


def test_the_stored_format_with_a_passphrase_matches_the_page(written: Written, randomness: Randomness) -> None:
    wrapping = FileWrapping(PassphraseFile(written("passphrase", PASSPHRASE + b"\n"), randomness), (), randomness)
    kept = members(record(wrapping))
    scrypt = kept["scrypt"]
    derived = hashlib.scrypt(PASSPHRASE, salt=base64.b64decode(scrypt.pop("salt")), **scrypt, dklen=32, maxmem=2**27)
    assert scrypt == {"n": 32768, "r": 8, "p": 3}
    about = b'["tokend signing key",1,"file","kid","ES256"]'
    nonce, ciphertext = (base64.b64decode(kept[name]) for name in ("nonce", "ciphertext"))
    assert AESGCM(derived).decrypt(nonce, ciphertext, about).decode() == PRIVATE.reveal()


def test_each_key_has_a_nonce_of_its_own(wrapping: FileWrapping, randomness: Randomness) -> None:
    nonces = {members(record(wrapping))["nonce"] for _ in range(3)}
    assert len(nonces) == 3
    assert randomness.requested == [12] * 3


def test_each_key_under_a_passphrase_has_a_salt_of_its_own(written: Written, randomness: Randomness) -> None:
    wrapping = FileWrapping(PassphraseFile(written("passphrase", PASSPHRASE), randomness), (), randomness)
    kept = [members(record(wrapping)) for _ in range(2)]
    assert len({each["scrypt"]["salt"] for each in kept}) == len({each["wrapping_key"] for each in kept}) == 2
    assert randomness.requested == [16, 12] * 2


@pytest.mark.parametrize(
    "change",
    [
        lambda key: replace(key, kid="another"),
        lambda key: replace(key, algorithm=RS256),
        lambda key: with_members(key, nonce=base64.b64encode(bytes(12)).decode()),
        lambda key: with_members(key, ciphertext=base64.b64encode(bytes(40)).decode()),
        lambda key: with_members(key, ciphertext=members(key)["ciphertext"][:-8]),
        lambda key: with_members(key, nonce=""),
        lambda key: with_members(key, nonce="%"),
        lambda key: with_members(key, method="aws-kms"),
        lambda key: with_members(key, version=2),
        lambda key: with_members(key, more=1),
    ],
    ids=["kid", "algorithm", "nonce", "ciphertext", "cut", "no nonce", "no base64", "method", "version", "more"],
)
def test_a_record_that_was_changed_or_moved_is_refused(
    wrapping: FileWrapping, change: Callable[[SigningKey], SigningKey]
) -> None:
    changed = change(record(wrapping))
    with pytest.raises(EngineMisconfigured) as raised:
        wrapping.unwrap(changed)
    assert raised.value.text == f"The record of signing key {changed.kid} cannot be used."
    assert raised.value.__cause__ is None


def test_a_missing_wrapping_key_is_reported_with_its_id_and_setting(
    wrapping: FileWrapping, written: Written, randomness: Randomness
) -> None:
    key = record(wrapping)
    missing, other = KeyFile(written("gone", KEY)), KeyFile(written("other", OTHER_KEY))
    Path(written("gone", KEY)).unlink()
    with pytest.raises(EngineMisconfigured) as raised:
        FileWrapping(other, [missing], randomness).unwrap(key)
    advice = raised.value.advice
    assert advice.startswith(f"{missing._path}: No such file or directory; It is encrypted by a wrapping key")  # noqa: SLF001
    assert members(key)["wrapping_key"] in advice
    assert "previous_key_files" in advice


def test_keys_wrapped_by_previous_files_are_unwrapped_and_not_current(
    wrapping: FileWrapping, written: Written, randomness: Randomness
) -> None:
    before = record(wrapping)
    passphrase = PassphraseFile(written("passphrase", PASSPHRASE), randomness)
    after = FileWrapping(passphrase, [KeyFile(written("other", OTHER_KEY)), KeyFile(written("key", KEY))], randomness)
    assert after.unwrap(before) == PRIVATE
    assert not after.is_current(before)
    new = record(after)
    assert after.is_current(new)
    again = FileWrapping(KeyFile(written("key", KEY)), [passphrase], randomness)
    assert again.unwrap(new) == PRIVATE
    assert not again.is_current(new)


def test_a_changed_key_file_is_read_again(written: Written, randomness: Randomness) -> None:
    path = written("key", KEY)
    wrapping = FileWrapping(KeyFile(path), (), randomness)
    before = record(wrapping)
    path.write_bytes(OTHER_KEY)
    with pytest.raises(EngineMisconfigured):
        wrapping.unwrap(before)
    assert members(record(wrapping))["wrapping_key"] != members(before)["wrapping_key"]
    path.unlink()
    with pytest.raises(EngineMisconfigured, match="cannot be encrypted") as raised:
        record(wrapping)
    assert str(path) in raised.value.advice


def test_records_with_other_scrypt_costs_are_rejected(written: Written, randomness: Randomness) -> None:
    wrapping = FileWrapping(PassphraseFile(written("passphrase", PASSPHRASE), randomness), (), randomness)
    key = record(wrapping)
    scrypt = members(key)["scrypt"]
    for costs in ({"n": 2**24}, {"r": 64}, {"p": 1000}, {"n": 12345}):
        with pytest.raises(EngineMisconfigured):
            wrapping.unwrap(with_members(key, scrypt=scrypt | costs))


def test_a_wrapping_key_shows_nowhere(wrapping: FileWrapping) -> None:
    made = KeyFile(Path("x")), StoredKeys(wrapping), wrapping, wrapping._current  # noqa: SLF001
    shown = " ".join(f"{each!r} {each}" for each in made)
    assert not [form for form in (KEY.hex(), repr(KEY)[2:-1], base64.b64encode(KEY).decode()) if form in shown]


@pytest.mark.parametrize(
    "content",
    [
        KEY,
        KEY.hex().encode(),
        KEY.hex().upper().encode() + b"\n",
        base64.b64encode(KEY) + b"\r\n",
        base64.urlsafe_b64encode(KEY).rstrip(b"="),
    ],
)
def test_a_key_file_may_be_binary_hex_or_base64(content: bytes) -> None:
    assert parse_key(content) == KEY


def test_a_binary_key_may_end_with_a_line_feed() -> None:
    assert parse_key(KEY[:31] + b"\n") == KEY[:31] + b"\n"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "has 0 bytes"),
        (KEY[:31], "has 31 bytes"),
        (KEY + b"\n", "has 33 bytes, of which the last is a line end"),
        (KEY.hex().encode()[:32], "has 32 characters of text"),
        (b"correct horse battery staple !!!", "are not random bytes"),
        (KEY.hex().encode()[:62], "has 62 bytes"),
        (base64.b64encode(KEY[:24]), "has 32 characters of text"),
        (bytes(32), "not random"),
        (bytes(32).hex().encode(), "not random"),
        (b"-----BEGIN PRIVATE KEY-----\n" * 3, "has 84 bytes"),
    ],
)
def test_an_invalid_wrapping_key_is_rejected_and_not_repeated(content: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as raised:
        parse_key(content)
    assert "openssl rand -hex 32" in str(raised.value)
    assert not content or content.decode("latin-1") not in str(raised.value)


@pytest.mark.parametrize("content", [PASSPHRASE, PASSPHRASE + b"\n", PASSPHRASE + b"\r\n"])
def test_a_passphrase_is_read_without_its_line_end(content: bytes) -> None:
    assert parse_passphrase(content) == PASSPHRASE


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"\n", "has 0 bytes"), (b"too short\n", "has 9 bytes"), (PASSPHRASE + b"\nand another\n", "more than one line")],
)
def test_an_invalid_passphrase_is_rejected_and_not_repeated(content: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as raised:
        parse_passphrase(content)
    assert "short\n" not in str(raised.value)


def test_a_file_longer_than_4096_bytes_is_rejected(written: Written, randomness: Randomness) -> None:
    for file in (KeyFile(written("long", bytes(5000))), PassphraseFile(written("long", bytes(5000)), randomness)):
        (problem,) = FileWrapping(file, (), randomness).check()
        assert problem.endswith("long: has more than 4096 bytes")
