"""PEM as written by people and programs: all of it is read, and every reader understands the output."""

import ssl
from collections.abc import Callable
from functools import partial

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.support.authority import Authority

from tokend_server.pem import read_certificates, read_private_key, write_certificates, write_private_key

NO_CERTIFICATES = "no PEM certificates"
NO_KEY = "no PEM private key without a password"

FIRST, SECOND = Authority("first").certificate, Authority("second").certificate
KEY = Authority("servers").server("127.0.0.1").private_key

#: Variants of a file with two certificates or one key.
WRITTEN: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda pem: pem,
    "a byte-order mark": lambda pem: b"\xef\xbb\xbf" + pem,
    "indented": lambda pem: b"  " + pem.replace(b"\n", b"\n  "),
    "indented by tabs": lambda pem: b"\t" + pem.replace(b"\n", b"\n\t"),
    "spaces at the ends of lines": lambda pem: pem.replace(b"\n", b"  \n"),
    "CRLF": lambda pem: pem.replace(b"\n", b"\r\n"),
    "CR": lambda pem: pem.replace(b"\n", b"\r"),
    "empty lines": lambda pem: b"\n\n" + pem.replace(b"-----\n", b"-----\n\n"),
    "no last line end": lambda pem: pem.rstrip(b"\n"),
    "text around": lambda pem: b"Bag Attributes\n    friendlyName: x\n" + pem + b"the end\n\0\xff",
    "files put together": lambda pem: pem.replace(b"-----\n-----", b"----------"),
}


@pytest.mark.parametrize("write", WRITTEN.values(), ids=WRITTEN)
def test_certificates_are_read_and_written_for_every_reader(write: Callable[[bytes], bytes]) -> None:
    written = write_certificates(read_certificates(write(FIRST + SECOND)))
    assert written == FIRST + SECOND
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=written.decode("ascii"))
    assert len(context.get_ca_certs()) == 2


@pytest.mark.parametrize("write", WRITTEN.values(), ids=WRITTEN)
def test_a_key_is_read_and_written_for_every_reader(write: Callable[[bytes], bytes]) -> None:
    assert write_private_key(read_private_key(write(KEY))) == KEY


@pytest.mark.parametrize(
    "new_key", [partial(rsa.generate_private_key, 65537, 2048), partial(ec.generate_private_key, ec.SECP256R1())]
)
def test_every_format_of_a_private_key_is_written_as_pkcs8(
    new_key: Callable[[], rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey],
) -> None:
    key = new_key()
    written = [
        key.private_bytes(serialization.Encoding.PEM, each, serialization.NoEncryption())
        for each in (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL)
    ]
    assert written[0] != written[1]
    assert {write_private_key(read_private_key(each)) for each in written} == {written[0]}


def test_other_pem_blocks_are_ignored() -> None:
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    file = parameters + KEY + FIRST
    assert write_certificates(read_certificates(file)) == FIRST
    assert write_private_key(read_private_key(file)) == KEY


def test_the_order_of_a_chain_is_preserved() -> None:
    assert write_certificates(read_certificates(SECOND + FIRST + SECOND)) == SECOND + FIRST + SECOND


def test_an_x509_certificate_block_is_read() -> None:
    assert write_certificates(read_certificates(FIRST.replace(b"CERTIFICATE", b"X509 CERTIFICATE"))) == FIRST


def der(pem: bytes) -> bytes:
    return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", NO_CERTIFICATES),
        (KEY, NO_CERTIFICATES),
        (der(FIRST), f"{NO_CERTIFICATES}: it is DER or PKCS #12; convert it with `openssl`"),
        (b"\xff\xfe" + FIRST.decode().encode("utf-16-le"), f"{NO_CERTIFICATES}: it is UTF-16 text; write it as ASCII"),
        (FIRST + SECOND[:300], "a certificate is truncated"),
        (FIRST[:300] + b"\n" + SECOND, "a certificate is truncated"),
        (FIRST + SECOND.replace(b"-----BEGIN", b"----BEGIN"), "a certificate is truncated"),
        (b"  " + (FIRST + SECOND[:300]).replace(b"\n", b"\n  "), "a certificate is truncated"),
        (FIRST + SECOND.replace(b"\nM", b"\n!", 1), NO_CERTIFICATES),
        (
            b"# " + FIRST + SECOND,
            f"{NO_CERTIFICATES}: a BEGIN or END line has other text",
        ),
        (
            FIRST + SECOND.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"),
            "a TRUSTED CERTIFICATE, which is OpenSSL's own; convert it with `openssl x509`",
        ),
    ],
)
def test_a_certificate_that_cannot_be_read_is_reported(data: bytes, problem: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the text is what is asked for
        read_certificates(data)
    assert str(refused.value) == problem


def with_password(encoding: serialization.PrivateFormat) -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, encoding, serialization.BestAvailableEncryption(b"a password")
    )


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(b"", NO_KEY, id="empty"),
        pytest.param(FIRST, NO_KEY, id="certificate"),
        pytest.param(KEY[:100], NO_KEY, id="cut off"),
        pytest.param(KEY + KEY, "more than one private key", id="two keys"),
        pytest.param(with_password(serialization.PrivateFormat.PKCS8), NO_KEY, id="PKCS #8 with a password"),
        pytest.param(
            with_password(serialization.PrivateFormat.TraditionalOpenSSL), NO_KEY, id="OpenSSL's with a password"
        ),
        pytest.param(b"\x30\x82\x01\x00", f"{NO_KEY}: it is DER or PKCS #12; convert it with `openssl`", id="DER"),
    ],
)
def test_a_key_that_cannot_be_used_is_named(data: bytes, problem: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - as above
        read_private_key(data)
    assert str(refused.value) == problem
