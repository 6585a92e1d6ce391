"""A certificate authority for servers on the loopback addresses and for their clients."""

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

#: How long a certificate is valid.
_LIFE = dt.timedelta(days=1)

#: What a certificate authority may do with its key.
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


class Authority:
    """Issues certificates; two of the same name trust each other no more than two others.

    Attributes:
        certificate: Its own certificate in PEM, which those who trust it hold.
    """

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _common_name(name)
        public_key = self._key.public_key()
        certificate = (
            _builder(self._name, self._name, public_key, dt.datetime.now(dt.UTC))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_CA_KEY_USAGE, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM)

    def server(self, *addresses: str) -> Identification:
        """Identifies a server on these IP addresses."""
        names = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        return self._issue(names, ExtendedKeyUsageOID.SERVER_AUTH)

    def client(
        self, *, uris: Sequence[str] = (), dns_names: Sequence[str] = (), expired: bool = False
    ) -> Identification:
        """Identifies a client by its URI SANs and DNS SANs."""
        names = [*map(x509.UniformResourceIdentifier, uris), *map(x509.DNSName, dns_names)]
        return self._issue(names, ExtendedKeyUsageOID.CLIENT_AUTH, age=_LIFE if expired else dt.timedelta(0))

    def _issue(
        self, names: Sequence[x509.GeneralName], usage: x509.ObjectIdentifier, age: dt.timedelta = dt.timedelta(0)
    ) -> Identification:
        key = ec.generate_private_key(ec.SECP256R1())
        issued_at = dt.datetime.now(dt.UTC) - age
        builder = (
            _builder(_common_name("tokend.example.test"), self._name, key.public_key(), issued_at)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Identification(
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, issued_at: dt.datetime
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
