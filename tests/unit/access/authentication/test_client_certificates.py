"""The contents of a client certificate, and its validity by the current time and the current authorities."""

import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from tests.fakes.clock import FakeClock
from tests.support.authority import DNS_NAME, URI, Authority, Identification

from tokend_server.access.authentication.certificate import caller_of
from tokend_server.access.authentication.client_certificates import ClientCertificates
from tokend_server.errors import CallerUnauthenticated

NewKey: TypeAlias = Callable[[], CertificateIssuerPrivateKeyTypes]

NAME = "checkout.shop.internal"
SPIFFE = b"spiffe://acme.internal/shop"
HOUR, DAY = 3600.0, 86_400.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def authority(clock: FakeClock, above: Authority | None = None, name: str = "clients") -> Authority:
    return Authority(name, above, dt.datetime.fromtimestamp(clock.now(), dt.UTC))


def parsed(*authorities: Authority) -> list[x509.Certificate]:
    return [x509.load_pem_x509_certificate(each.certificate) for each in authorities]


def trusting(clock: FakeClock, *authorities: Authority) -> ClientCertificates:
    certificates = ClientCertificates(clock)
    certificates.trust(parsed(*authorities))
    return certificates


def refusal(certificates: ClientCertificates, client: Identification, intermediates: bytes = b"") -> str:
    with pytest.raises(CallerUnauthenticated) as refused:
        certificates.read(client.certificate, intermediates)
    return refused.value.text


def test_the_names_of_a_certificate_are_read_in_order(clock: FakeClock) -> None:
    root = authority(clock)
    client = root.client(uris=["spiffe://a.test/x", "https://b.test"], dns_names=["b.test", "a.test"])
    shown = trusting(clock, root).read(client.certificate)
    assert (shown.uris, shown.dns_names) == (("spiffe://a.test/x", "https://b.test"), ("b.test", "a.test"))


@pytest.mark.parametrize(
    "names",
    [
        [(DNS_NAME, b"admin.example\0.evil.com")],
        [(DNS_NAME, b"admin.example\0")],
        [(DNS_NAME, b"\0admin.example")],
        [(DNS_NAME, b"admin.example"), (DNS_NAME, b"other\0.example")],
        [(DNS_NAME, b"admin.example"), (URI, b"https://a.test/\0")],
        [(DNS_NAME, b"admin.example\n")],
        [(DNS_NAME, b"admin.example\x7f")],
        [(DNS_NAME, b"admin.example"), (DNS_NAME, b"b\xc3\xbccher.example")],
        [(DNS_NAME, b"admin.example"), (URI, b"https://b\xfccher.example")],
        [(DNS_NAME, b"*.example")],
        [(DNS_NAME, b"admin.example.")],
        [(DNS_NAME, b"")],
        [(URI, SPIFFE + b"\0.evil")],
        [(URI, SPIFFE + b"\0")],
        [(URI, SPIFFE + b"\0/../admin"), (DNS_NAME, b"admin.example")],
        [(URI, SPIFFE + b"\r\n")],
        [(URI, SPIFFE + b"%00")],
        [(URI, SPIFFE), (URI, SPIFFE)],
        [(URI, SPIFFE), (URI, b"\0")],
        [(URI, SPIFFE), (URI, b"https://a.test")],
        [(URI, SPIFFE), (DNS_NAME, b"a\0b")],
        [(URI, "spiffe://acme.internal/shöp".encode())],
        [],
    ],
)
def test_a_certificate_with_ambiguous_or_invalid_names_names_no_caller(
    names: list[tuple[int, bytes]], clock: FakeClock
) -> None:
    root = authority(clock)
    shown = trusting(clock, root).read(root.client_of_octets(*names).certificate)
    assert caller_of(shown.uris, shown.dns_names) is None


def test_an_unambiguous_dns_name_names_the_caller(clock: FakeClock) -> None:
    root = authority(clock)
    shown = trusting(clock, root).read(root.client_of_octets((DNS_NAME, b"admin.example")).certificate)
    assert caller_of(shown.uris, shown.dns_names) == "dns:admin.example"


def test_a_certificate_is_valid_from_its_first_second_to_its_last(clock: FakeClock) -> None:
    root = authority(clock)
    client = root.client(dns_names=[NAME])
    certificates = trusting(clock, root)
    for seconds, valid in ((0, True), (-HOUR, True), (-1, False), (HOUR + 1, True), (DAY - 60, True), (1, False)):
        clock.advance(seconds)
        if valid:
            assert certificates.read(client.certificate).dns_names == (NAME,)
        else:
            assert "valid yet" in (text := refusal(certificates, client)) or "expired" in text


def test_the_reason_for_refusing_a_certificate_is_reported(clock: FakeClock) -> None:
    root = authority(clock)
    client, certificates = root.client(dns_names=[NAME]), trusting(clock, root)
    clock.advance(-2 * HOUR)
    assert "is not valid yet" in refusal(certificates, client)
    clock.advance(2 * DAY)
    assert "has expired" in refusal(certificates, client)
    certificates.trust([])
    assert "trusted now" in refusal(certificates, client)


def test_an_expired_authority_invalidates_its_client_certificates(clock: FakeClock) -> None:
    root = authority(clock)
    clock.advance(DAY / 2)
    root.renew(dt.datetime.fromtimestamp(clock.now(), dt.UTC))
    client = root.client(dns_names=[NAME])
    old = authority(clock, name="another")
    certificates = trusting(clock, root, old)
    assert certificates.read(client.certificate)
    clock.advance(-DAY / 2)
    root.renew(dt.datetime.fromtimestamp(clock.now(), dt.UTC))  # with the same key, and it expires before the client's
    certificates = trusting(clock, root)
    clock.advance(DAY / 2)
    assert certificates.read(client.certificate)
    clock.advance(DAY / 2)
    assert "has expired" in refusal(certificates, client)


def test_an_expired_intermediate_invalidates_its_client_certificates(clock: FakeClock) -> None:
    root = authority(clock)
    between = authority(clock, root, "between")
    first = between.certificate
    clock.advance(DAY / 2)
    now = dt.datetime.fromtimestamp(clock.now(), dt.UTC)
    root.renew(now)
    between.renew(now)
    client = between.client(dns_names=[NAME])
    certificates = trusting(clock, root)
    assert certificates.read(client.certificate, first)
    clock.advance(DAY / 2)
    assert "has expired" in refusal(certificates, client, first)
    assert certificates.read(client.certificate, between.certificate)
    assert certificates.read(client.certificate, first + between.certificate)  # one valid path is enough


def test_a_removed_authority_invalidates_its_client_certificates(clock: FakeClock) -> None:
    root, other = authority(clock), authority(clock)
    client = root.client(dns_names=[NAME])
    certificates = trusting(clock, root)
    assert certificates.read(client.certificate)
    certificates.trust(parsed(root, other))
    assert certificates.read(client.certificate)
    certificates.trust(parsed(other))
    assert "trusted now" in refusal(certificates, client)


def test_chains_that_grpc_trusts_are_trusted(clock: FakeClock) -> None:
    root = authority(clock)
    between = authority(clock, root, "between")
    below = authority(clock, between, "below")
    client = below.client(dns_names=[NAME])
    chain = below.certificate + between.certificate
    assert trusting(clock, root).read(client.certificate, chain)
    assert trusting(clock, root).read(client.certificate, between.certificate + below.certificate)
    assert trusting(clock, root, between).read(client.certificate, chain)
    assert trusting(clock, between).read(client.certificate, below.certificate)
    assert trusting(clock, below).read(client.certificate)
    pinned = ClientCertificates(clock)
    pinned.trust([x509.load_pem_x509_certificate(client.certificate)])
    assert pinned.read(client.certificate)


def named(organization: str, name: str, encoding: _ASN1Type = _ASN1Type.UTF8String) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization, encoding),
            x509.NameAttribute(NameOID.COMMON_NAME, name, encoding),
        ]
    )


def issued(
    clock: FakeClock, subject: x509.Name, issuer: x509.Name, key: CertificateIssuerPrivateKeyTypes, *, pss: bool = False
) -> x509.Certificate:
    """Returns a certificate signed with a key, with any issuer name."""
    now = dt.datetime.fromtimestamp(clock.now(), dt.UTC)
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    dated = builder.not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + dt.timedelta(hours=1))
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()
    return dated.sign(key, digest, rsa_padding=PSS(MGF1(hashes.SHA256()), 32) if pss else None)


@pytest.mark.parametrize(
    "issuer",
    [
        named("Acme Corp", "Clients"),
        named("Acme Corp", "Clients", _ASN1Type.PrintableString),
        named("Acme Corp", "Clients", _ASN1Type.BMPString),
        named("ACME corp", "clientS"),
        named(" Acme \t Corp ", "Clients"),
    ],
)
def test_issuer_names_match_regardless_of_encoding_case_and_spaces(issuer: x509.Name, clock: FakeClock) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificates = ClientCertificates(clock)
    certificates.trust([issued(clock, name := named("Acme Corp", "Clients"), name, key)])
    client = issued(clock, named("Acme Corp", "checkout"), issuer, key)
    assert certificates.read(client.public_bytes(Encoding.PEM))


@pytest.mark.parametrize(
    "issuer",
    [
        named("Acme Corp", "Client"),
        named("AcmeCorp", "Clients"),
        named("Clients", "Acme Corp"),
        named("Acme Corp", "Cl\u0131ents"),
        x509.Name([*named("Acme Corp", "Clients").rdns[0], *named("Acme Corp", "Clients")]),
        x509.Name([]),
    ],
)
def test_a_certificate_with_another_issuer_name_is_refused(issuer: x509.Name, clock: FakeClock) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificates = ClientCertificates(clock)
    certificates.trust([issued(clock, name := named("Acme Corp", "Clients"), name, key)])
    client = issued(clock, named("Acme Corp", "checkout"), issuer, key).public_bytes(Encoding.PEM)
    assert "trusted now" in refusal(certificates, Identification(client, b""))


RSA_2048 = partial(rsa.generate_private_key, 65537, 2048)
P_256, P_384 = (partial(ec.generate_private_key, curve) for curve in (ec.SECP256R1(), ec.SECP384R1()))
KEYS: dict[str, tuple[NewKey, NewKey, bool]] = {
    "RSA": (RSA_2048, RSA_2048, False),
    "RSA by PSS": (RSA_2048, RSA_2048, True),
    "P-256": (P_256, P_256, False),
    "P-384": (P_384, RSA_2048, False),
    "Ed25519": (ed25519.Ed25519PrivateKey.generate, ed25519.Ed25519PrivateKey.generate, False),
    "Ed448": (ed448.Ed448PrivateKey.generate, ed25519.Ed25519PrivateKey.generate, False),
}


@pytest.mark.parametrize(("new_key", "new_other", "pss"), KEYS.values(), ids=KEYS)
def test_authorities_with_equal_names_are_distinguished_by_signature(
    new_key: NewKey,
    new_other: NewKey,
    pss: bool,  # noqa: FBT001 - a table's column
    clock: FakeClock,
) -> None:
    key, other = new_key(), new_other()
    name = named("Acme Corp", "Clients")
    client = issued(clock, named("Acme Corp", "checkout"), name, key, pss=pss).public_bytes(Encoding.PEM)
    certificates = ClientCertificates(clock)
    certificates.trust([issued(clock, name, name, other), issued(clock, name, name, key)])
    assert certificates.read(client)
    certificates.trust([issued(clock, name, name, other)])
    assert "trusted now" in refusal(certificates, Identification(client, b""))


def test_a_chain_that_does_not_reach_an_authority_is_refused(clock: FakeClock) -> None:
    root, stranger = authority(clock), authority(clock)
    between = authority(clock, root, "between")
    client = between.client(dns_names=[NAME])
    for certificates in (trusting(clock, root), trusting(clock, stranger)):
        assert "trusted now" in refusal(certificates, client)
    assert "trusted now" in refusal(trusting(clock, stranger), client, between.certificate)


def test_a_client_certificate_cannot_issue_certificates(clock: FakeClock) -> None:
    root = authority(clock)
    client = root.client(dns_names=[NAME])
    forged = Authority("tokend.example.test", issued_at=dt.datetime.fromtimestamp(clock.now(), dt.UTC))
    assert "trusted now" in refusal(
        trusting(clock, root), forged.client(dns_names=["admin"]), client.certificate + forged.certificate
    )


@pytest.mark.parametrize("pem", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_an_unreadable_certificate_is_rejected(pem: bytes, clock: FakeClock) -> None:
    root = authority(clock)
    client = root.client(dns_names=[NAME])
    assert "cannot be read" in refusal(trusting(clock, root), Identification(pem, b""))
    if pem:
        assert "cannot be read" in refusal(trusting(clock, root), client, pem)
