"""A certificate authority for servers on the loopback addresses and for their clients."""

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

#: The lifetime of a certificate.
_LIFE = dt.timedelta(days=1)

#: The key usages of a certificate authority.
_CA_KEY_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class Identification:
    """A certificate and its key, in PEM."""

    certificate: bytes
    private_key: bytes

    @cached_property
    def serial_number(self) -> int:
        return x509.load_pem_x509_certificate(self.certificate).serial_number


#: The tags of general names in a SAN (RFC 5280, section 4.2.1.6).
DNS_NAME, URI = 0x82, 0x86

_SEQUENCE = 0x30

_Key: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Authority:
    """Issues certificates. Two authorities with the same name do not trust each other.

    Args:
        name: Its name.
        above: The authority that issues its certificate; None for a self-signed one.
        issued_at: The issue time of its certificate and of those that it issues; now by default.

    Attributes:
        certificate: Its own certificate in PEM, the trust anchor.
    """

    def __init__(self, name: str, above: "Authority | None" = None, issued_at: dt.datetime | None = None) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _common_name(name)
        self._above = above or self
        self.certificate = b""
        self.renew(issued_at)

    def renew(self, issued_at: dt.datetime | None = None) -> None:
        """Issues another certificate for the same key."""
        self._issued_at = issued_at or dt.datetime.now(dt.UTC)
        public_key = self._key.public_key()
        certificate = (
            _builder(self._name, self._above._name, public_key, self._issued_at)  # noqa: SLF001 - of the same class
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_CA_KEY_USAGE, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .sign(self._above._key, hashes.SHA256())  # noqa: SLF001 - as above
        )
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM)

    def server(self, *addresses: str, key: _Key | None = None) -> Identification:
        """Issues a server certificate for these IP addresses, with a new key unless one is given."""
        names = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        return self._issue(x509.SubjectAlternativeName(names), ExtendedKeyUsageOID.SERVER_AUTH, key=key)

    def client(
        self,
        *,
        uris: Sequence[str] = (),
        dns_names: Sequence[str] = (),
        expired: bool = False,
        spelled: str | None = None,
    ) -> Identification:
        """Issues a client certificate with URI SANs and DNS SANs; the issuer is this authority's name unless given."""
        names = [*map(x509.UniformResourceIdentifier, uris), *map(x509.DNSName, dns_names)]
        age = _LIFE if expired else dt.timedelta(0)
        issuer = None if spelled is None else _common_name(spelled)
        return self._issue(x509.SubjectAlternativeName(names), ExtendedKeyUsageOID.CLIENT_AUTH, age, issuer=issuer)

    def client_of_octets(self, *names: tuple[int, bytes]) -> Identification:
        """Issues a client certificate with a SAN of general names with any octets, each with its tag."""
        value = _der(_SEQUENCE, b"".join(_der(tag, name) for tag, name in names))
        extension = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, value)
        return self._issue(extension, ExtendedKeyUsageOID.CLIENT_AUTH)

    def _issue(
        self,
        names: x509.ExtensionType,
        usage: x509.ObjectIdentifier,
        age: dt.timedelta = dt.timedelta(0),
        key: _Key | None = None,
        issuer: x509.Name | None = None,
    ) -> Identification:
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(_common_name("tokend.example.test"), issuer or self._name, key.public_key(), self._issued_at - age)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if not isinstance(names, x509.SubjectAlternativeName) or len(names):
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Identification(
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )


def _der(tag: int, content: bytes) -> bytes:
    octets = len(content).to_bytes((len(content).bit_length() + 7) // 8)
    length = bytes([len(content)]) if len(content) < 0x80 else bytes([0x80 + len(octets)]) + octets
    return bytes([tag]) + length + content


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    issued_at: dt.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(issued_at - dt.timedelta(hours=1))
        .not_valid_after(issued_at + _LIFE - dt.timedelta(minutes=1))
    )
