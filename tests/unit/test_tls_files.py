"""The files of a TLS listener: valid and invalid contents, and the detection of changes."""

import datetime as dt
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests.support.authority import Authority
from tests.support.certificates import UNUSABLE, USABLE, write_odd_certificate

from tokend_server.tls_files import TlsFiles

LOOPBACK = "127.0.0.1"
NO_CERTIFICATES = "no PEM certificates"
NO_KEY = "no PEM private key without a password"
CUT_OFF = "a certificate is truncated"
OTHER_KEY = "not the key of the certificate"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("servers.example.test")


@pytest.fixture
def files(tmp_path: Path, authority: Authority) -> TlsFiles:
    """Valid files, with an authority of clients."""
    served = authority.server(LOOPBACK)
    given = TlsFiles(tmp_path / "tls.crt", tmp_path / "tls.key", tmp_path / "clients.crt")
    given.certificate.write_bytes(served.certificate)
    given.private_key.write_bytes(served.private_key)
    assert given.client_ca
    given.client_ca.write_bytes(authority.certificate)
    return given


def problems(files: TlsFiles) -> list[str]:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the text is what is asked for
        files.read()
    return str(refused.value).split("; ")


def test_the_contents_of_the_files_are_read(files: TlsFiles, authority: Authority) -> None:
    material = files.read()
    assert material.certificate_chain == files.certificate.read_bytes()
    assert bytes(material.private_key) == files.private_key.read_bytes()
    assert material.client_authorities == authority.certificate
    certificate = x509.load_pem_x509_certificate(material.certificate_chain)
    assert material.expires_at == certificate.not_valid_after_utc


def test_without_a_client_ca_file_there_are_no_client_authorities(files: TlsFiles) -> None:
    assert replace(files, client_ca=None).read().client_authorities is None


def test_valid_certificates_come_first_among_those_with_the_same_key(
    files: TlsFiles,
) -> None:
    now = dt.datetime.now(dt.UTC)
    others = [Authority("one", issued_at=now - dt.timedelta(days=3)), Authority("one"), Authority("two")]
    renewed = Authority("renewed")
    certificates = []
    for days in (-2, 2, 0, -1):  # expired, not yet valid, valid, expired
        renewed.renew(now + dt.timedelta(days=days))
        certificates.append(renewed.certificate)
    expired, later, valid, expired_last = certificates
    first, second, third = (other.certificate for other in others)
    assert files.client_ca
    files.client_ca.write_bytes(first + expired + second + later + valid + third + expired_last)
    expected = first + valid + expired_last + expired + later + second + third
    assert files.read().client_authorities == expected


def test_a_chain_expires_with_its_first_certificate(files: TlsFiles, authority: Authority) -> None:
    leaf = authority.client(dns_names=["x.example.test"], expired=True)
    files.certificate.write_bytes(b"Bag Attributes\n" + leaf.certificate + authority.certificate)
    files.private_key.write_bytes(leaf.private_key)
    assert files.read().expires_at == x509.load_pem_x509_certificate(leaf.certificate).not_valid_after_utc


def test_a_private_key_does_not_appear_in_representations(files: TlsFiles) -> None:
    material = files.read()
    key_line = files.private_key.read_text().splitlines()[1]
    for shown in (repr(material), str(material.private_key), f"{material.private_key!s}", f"{material}"):
        assert key_line not in shown
        assert "***" in shown


#: Possible new contents of a file, from the previous one, by the name of the case.
GARBAGE: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "a text": lambda _: b"not a certificate",
    "zeros": lambda _: bytes(4096),
    "the first half": lambda whole: whole[: len(whole) // 2],
    "all but the last line": lambda whole: whole[: whole.rindex(b"-----END")],
    "a broken line": lambda whole: whole.replace(b"\nM", b"\n!", 1),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize(
    ("attribute", "problem"),
    [("certificate", NO_CERTIFICATES), ("private_key", NO_KEY), ("client_ca", NO_CERTIFICATES)],
)
def test_an_invalid_file_is_reported(
    attribute: str, problem: str, garbage: Callable[[bytes], bytes], files: TlsFiles
) -> None:
    path: Path = getattr(files, attribute)
    path.write_bytes(garbage(path.read_bytes()))
    assert problems(files) == [f"{path}: {problem}"]


@pytest.mark.parametrize("attribute", ["certificate", "private_key", "client_ca"])
def test_a_file_that_is_missing_is_named(attribute: str, files: TlsFiles) -> None:
    path: Path = getattr(files, attribute)
    path.unlink()
    assert problems(files) == [f"{path}: No such file or directory"]
    assert files.stamp() is None


@pytest.mark.parametrize("attribute", ["certificate", "client_ca"])
def test_a_second_certificate_that_is_cut_off_is_named(attribute: str, files: TlsFiles) -> None:
    path: Path = getattr(files, attribute)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:300])
    assert problems(files) == [f"{path}: {CUT_OFF}"]
    path.write_bytes(whole + whole)
    files.read()


def test_the_problems_of_all_files_are_reported_at_once(files: TlsFiles) -> None:
    assert files.client_ca
    files.private_key.unlink()
    for path in (files.certificate, files.client_ca):
        path.write_bytes(b"")
    assert sorted(problems(files)) == sorted(
        [
            f"{files.private_key}: No such file or directory",
            f"{files.certificate}: {NO_CERTIFICATES}",
            f"{files.client_ca}: {NO_CERTIFICATES}",
        ]
    )


def test_the_key_of_another_certificate_is_named(files: TlsFiles, authority: Authority) -> None:
    files.private_key.write_bytes(authority.server(LOOPBACK).private_key)
    assert problems(files) == [f"{files.private_key}: {OTHER_KEY}"]


@pytest.mark.parametrize(
    "key", [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP521R1())], ids=["Ed25519", "P-521"]
)
def test_an_unsupported_type_of_key_is_reported(key: PrivateKeyTypes, files: TlsFiles) -> None:
    files.private_key.write_bytes(pem_of(key))
    assert problems(files) == [f"{files.private_key}: neither an RSA key nor one on P-256 or P-384"]


@pytest.mark.parametrize(
    "new_key",
    [partial(rsa.generate_private_key, 65537, 2048), partial(ec.generate_private_key, ec.SECP384R1())],
    ids=["RSA", "P-384"],
)
def test_a_supported_type_of_key_is_compared_with_the_certificate(
    new_key: Callable[[], PrivateKeyTypes], files: TlsFiles
) -> None:
    files.private_key.write_bytes(pem_of(new_key()))
    assert problems(files) == [f"{files.private_key}: {OTHER_KEY}"]


@pytest.mark.parametrize(("kind", "problem"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_certificate_that_cannot_serve_is_named(kind: tuple[str, ...], problem: str, files: TlsFiles) -> None:
    write_odd_certificate(files.certificate, files.private_key, kind)
    assert problems(files) == [f"{files.certificate}: {problem}"]


@pytest.mark.parametrize("kind", USABLE.values(), ids=USABLE)
def test_an_odd_certificate_that_can_serve_is_read(kind: tuple[str, ...], files: TlsFiles) -> None:
    write_odd_certificate(files.certificate, files.private_key, kind)
    assert files.read().certificate_chain == files.certificate.read_bytes()


def pem_of(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def test_a_key_with_a_password_is_named(files: TlsFiles) -> None:
    key = load_pem_private_key(files.private_key.read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"a password")
    files.private_key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    )
    assert problems(files) == [f"{files.private_key}: {NO_KEY}"]


def test_problems_do_not_show_the_contents_of_files(files: TlsFiles) -> None:
    key = files.private_key.read_bytes()
    files.certificate.write_bytes(key)
    files.private_key.write_bytes(key[:-40])
    shown = str(problems(files))
    assert not any(line in shown for line in key.decode().splitlines())


@pytest.mark.parametrize("attribute", ["certificate", "private_key", "client_ca"])
def test_a_replaced_file_changes_the_stamp(attribute: str, files: TlsFiles) -> None:
    before = files.stamp()
    assert files.stamp() == before is not None
    path: Path = getattr(files, attribute)
    successor = path.with_suffix(".new")
    successor.write_bytes(path.read_bytes())
    status = path.stat()
    os.utime(successor, ns=(status.st_atime_ns, status.st_mtime_ns))  # as copying tools do
    successor.rename(path)
    assert files.stamp() != before


def test_a_changed_symbolic_link_changes_the_stamp(files: TlsFiles, tmp_path: Path) -> None:
    link = tmp_path / "current"
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tls.crt").write_bytes(files.certificate.read_bytes())
    link.symlink_to("first")
    linked = replace(files, certificate=link / "tls.crt")
    before = linked.stamp()
    (tmp_path / "next").symlink_to("second")
    (tmp_path / "next").rename(link)
    assert linked.stamp() != before


def test_a_change_of_permissions_changes_the_stamp(files: TlsFiles) -> None:
    files.private_key.chmod(0o000)
    before = files.stamp()
    files.private_key.chmod(0o600)
    while files.stamp() == before:  # within one tick of the file system's clock
        files.private_key.chmod(0o600)
    assert files.stamp() is not None
