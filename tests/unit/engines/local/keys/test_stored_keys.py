"""Damaged records of private keys: no number may be wrong, even if a library accepts it."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
)

from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.manager import new_signing_key
from tokend_server.engines.local.keys.stored_keys import StoredKeys
from tokend_server.errors import EngineMisconfigured
from tokend_server.model import Secret

#: The private numbers of an RSA key, by the library's names, in the order of RFC 8017.
NUMBERS = ("d", "p", "q", "dmp1", "dmq1", "iqmp")

#: The key type in DER: id-ecPublicKey, and another one of the same arc (RFC 5480, section 2.1.1).
EC_PUBLIC_KEY = bytes.fromhex("06072a8648ce3d0201")
UNKNOWN_KEY_TYPE = bytes.fromhex("06072a8648ce3d0277")


@pytest.fixture(scope="module")
def rsa_record() -> SigningKey:
    return new_signing_key(StoredKeys(), SigningAlgorithm.RS512, generation=1, created=0)


@pytest.fixture
def ec_record() -> SigningKey:
    return new_signing_key(StoredKeys(), SigningAlgorithm.ES256, generation=1, created=0)


def test_a_key_of_numbers_that_agree_is_opened(rsa_record: SigningKey) -> None:
    opened = StoredKeys().open(of_numbers(rsa_record, numbers(rsa_record)))
    assert opened.public_key.thumbprint() == rsa_record.kid


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("change", [-2, -1, 1, 2])
def test_an_rsa_key_with_one_wrong_number_is_rejected(rsa_record: SigningKey, number: str, change: int) -> None:
    damaged = numbers(rsa_record)
    damaged[number] += change
    with pytest.raises(EngineMisconfigured, match=rsa_record.kid):
        StoredKeys().open(of_numbers(rsa_record, damaged))


def test_numbers_of_another_rsa_key_are_refused_though_they_agree(rsa_record: SigningKey) -> None:
    other = new_signing_key(StoredKeys(), SigningAlgorithm.RS512, generation=2, created=0)
    with pytest.raises(EngineMisconfigured, match=rsa_record.kid):
        StoredKeys().open(of_numbers(rsa_record, numbers(other)))


@pytest.mark.parametrize(("p", "q"), [("p", "q"), ("q", "p")])
def test_an_rsa_key_with_the_primes_one_and_its_modulus_is_rejected(rsa_record: SigningKey, p: str, q: str) -> None:
    of_one = {**numbers(rsa_record), p: 1, q: private_key(rsa_record).public_key().public_numbers().n}
    with pytest.raises(EngineMisconfigured, match=rsa_record.kid):
        StoredKeys().open(of_numbers(rsa_record, of_one))


def test_a_wrong_private_exponent_is_rejected_with_matching_crt_exponents(rsa_record: SigningKey) -> None:
    damaged = {name: number + 2 * (name in {"d", "dmp1", "dmq1"}) for name, number in numbers(rsa_record).items()}
    with pytest.raises(EngineMisconfigured, match=rsa_record.kid):
        StoredKeys().open(of_numbers(rsa_record, damaged))


def test_an_elliptic_curve_key_with_a_wrong_private_number_is_rejected(ec_record: SigningKey) -> None:
    other = new_signing_key(StoredKeys(), SigningAlgorithm.ES256, generation=2, created=0)
    with pytest.raises(EngineMisconfigured, match=ec_record.kid):
        StoredKeys().open(changed(ec_record, scalar(ec_record), scalar(other)))


def test_an_unknown_key_type_is_rejected(ec_record: SigningKey) -> None:
    with pytest.raises(EngineMisconfigured, match=ec_record.kid):
        StoredKeys().open(changed(ec_record, EC_PUBLIC_KEY, UNKNOWN_KEY_TYPE))


def private_key(record: SigningKey) -> rsa.RSAPrivateKey:
    # The validation tests primes, which takes most of the CPU time of these tests.
    key = load_pem_private_key(record.material.reveal().encode(), None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def numbers(record: SigningKey) -> dict[str, int]:
    """The private numbers of an RSA key."""
    found = private_key(record).private_numbers()
    return {name: getattr(found, name) for name in NUMBERS}


def of_numbers(record: SigningKey, private: Mapping[str, int]) -> SigningKey:
    """A record of the same public key with these private numbers, as RSAPrivateKey (RFC 8017, appendix A.1.2)."""
    public = private_key(record).public_key().public_numbers()
    version = 0
    integers = [version, public.n, public.e, *(private[name] for name in NUMBERS)]
    sequence = der(0x30, b"".join(der(0x02, number.to_bytes(number.bit_length() // 8 + 1)) for number in integers))
    return with_pem(record, "RSA PRIVATE KEY", sequence)


def der(tag: int, content: bytes) -> bytes:
    """Returns a value in DER (X.690, section 8.1)."""
    length = len(content)
    more = length.to_bytes((length.bit_length() + 7) // 8) if length >= 0x80 else b""
    return bytes([tag, 0x80 | len(more), *more] if more else [tag, length]) + content


def changed(record: SigningKey, before: bytes, after: bytes) -> SigningKey:
    """A record with other octets in the DER of its key."""
    octets = der_of(record)
    assert octets.count(before) == 1
    return with_pem(record, "PRIVATE KEY", octets.replace(before, after))


def with_pem(record: SigningKey, label: str, octets: bytes) -> SigningKey:
    lines = b64encode(octets).decode()
    return replace(record, material=Secret(f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n"))


def der_of(record: SigningKey) -> bytes:
    return b64decode("".join(record.material.reveal().splitlines()[1:-1]))


def scalar(record: SigningKey) -> bytes:
    """The private key of ECPrivateKey (RFC 5915, section 3)."""
    octets = der_of(record)
    start = octets.index(b"\x02\x01\x01\x04\x20") + 5
    return octets[start : start + 32]
