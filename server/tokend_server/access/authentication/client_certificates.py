"""The client certificates of TLS connections: their exact names, and whether they are valid now.

The handshake ensures neither. gRPC truncates a name at a NUL, and a connection continues, or is resumed by a session
ticket without another check of the certificate (RFC 8446, section 2.2), after the certificate has expired or its
authority is no longer trusted.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from string import ascii_lowercase, ascii_uppercase
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from tokend_server.clock import Clock
from tokend_server.errors import CallerUnauthenticated

#: The number of parsed certificates that are cached; every call of a connection has the same certificate.
_MAX_REMEMBERED = 2000

#: The maximum number of intermediate certificates that are used, and of paths to trusted certificates.
_MAX_INTERMEDIATES, _MAX_PATHS = 8, 8

#: A name in the form in which names are compared: the type and the value of each part.
_ComparedName: TypeAlias = tuple[frozenset[tuple[str, str | bytes]], ...]

#: The trusted certificates by name.
_Trusted: TypeAlias = dict[_ComparedName, list[x509.Certificate]]

_WHITE_SPACE = re.compile(r"[\t-\r ]+")
_LOWER_CASE = str.maketrans(ascii_uppercase, ascii_lowercase)

#: The start and the end of a validity, both inclusive, in seconds since the Unix epoch.
_Validity: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """The contents of a client certificate.

    Attributes:
        uris: Its URI SANs.
        dns_names: Its DNS SANs, in its order.
        validities: For each path to a trusted authority, the time during which every certificate of the path is valid.
    """

    uris: tuple[str, ...]
    dns_names: tuple[str, ...]
    validities: tuple[_Validity, ...]


class ClientCertificates:
    """Reads the client certificates of a listener.

    Args:
        clock: The clock for validity.
    """

    def __init__(self, clock: Clock) -> None:
        self._now = clock.now
        self.trust([])

    def trust(self, authorities: Sequence[x509.Certificate]) -> None:
        """Replaces the trusted authorities."""
        trusted: _Trusted = {}
        for authority in authorities:
            trusted.setdefault(_normalized_name(authority.subject), []).append(authority)
        self._read: Callable[[bytes, bytes], ClientCertificate] = lru_cache(_MAX_REMEMBERED)(partial(_read, trusted))

    def read(self, certificate: bytes, intermediates: bytes = b"") -> ClientCertificate:
        """Returns the contents of a certificate that is valid now.

        Args:
            certificate: The client's own certificate, in PEM, as the handshake has verified it.
            intermediates: The other certificates from the client, in PEM.

        Raises:
            CallerUnauthenticated: It cannot be parsed, or no path of valid certificates leads to a trusted authority.
        """
        shown = self._read(certificate, intermediates)
        now = self._now()
        for begin, end in shown.validities:
            if begin <= now <= end:
                return shown
        raise CallerUnauthenticated(_validity_problem(shown.validities, now))


def _validity_problem(validities: Sequence[_Validity], now: float) -> str:
    if not validities:
        return "The client certificate is not of an authority that is trusted now, or cannot be read."
    if all(now < begin for begin, _ in validities):
        return "The client certificate, or one of its authorities, is not valid yet."
    return "The client certificate, or one of its authorities, has expired."


def _read(trusted: _Trusted, pem: bytes, intermediates: bytes) -> ClientCertificate:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        sent = x509.load_pem_x509_certificates(intermediates) if intermediates else []
    except ValueError:
        return ClientCertificate((), (), ())
    paths = _paths(certificate, trusted, [each for each in sent[:_MAX_INTERMEDIATES] if _is_authority(each)])
    return ClientCertificate(*_names(certificate), tuple(islice(paths, _MAX_PATHS)))


def _names(certificate: x509.Certificate) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns its URI SANs and DNS SANs; none if they cannot be parsed, for example because of non-ASCII letters."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return (), ()
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return tuple(uris), tuple(names.get_values_for_type(x509.DNSName))


def _paths(certificate: x509.Certificate, trusted: _Trusted, sent: Sequence[x509.Certificate]) -> Iterator[_Validity]:
    """Yields the validity of each path to a trusted certificate, which need not be a root, as in gRPC."""
    own = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    if certificate in trusted.get(_normalized_name(certificate.subject), ()):
        yield own
    issuer_name = _normalized_name(certificate.issuer)
    for issuer in trusted.get(issuer_name, ()):
        if _is_signed_by(certificate, issuer):
            yield _intersection(own, (issuer.not_valid_before_utc.timestamp(), issuer.not_valid_after_utc.timestamp()))
    for issuer in sent:
        if _normalized_name(issuer.subject) == issuer_name and _is_signed_by(certificate, issuer):
            for above in _paths(issuer, trusted, [each for each in sent if each != issuer]):
                yield _intersection(own, above)


def _intersection(one: _Validity, other: _Validity) -> _Validity:
    return max(one[0], other[0]), min(one[1], other[1])


def _normalized_name(name: x509.Name) -> _ComparedName:
    """Returns a name in the form in which the handshake compares it (RFC 5280, section 7.1).

    Encoding, the case of ASCII letters and the amount of white space are ignored.
    """
    return tuple(
        frozenset((each.oid.dotted_string, _normalized_value(each.value)) for each in part) for part in name.rdns
    )


def _normalized_value(value: str | bytes) -> str | bytes:
    if isinstance(value, bytes):
        return value
    return _WHITE_SPACE.sub(" ", value).strip(" ").translate(_LOWER_CASE)


def _is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Returns whether the issuer made the signature; cryptography's own check also compares names octet by octet."""
    try:
        _verify_signature(certificate, issuer.public_key())
    except (InvalidSignature, TypeError, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _verify_signature(certificate: x509.Certificate, key: CertificatePublicKeyTypes) -> None:
    signature, signed = certificate.signature, certificate.tbs_certificate_bytes
    algorithm, parameters = certificate.signature_hash_algorithm, certificate.signature_algorithm_parameters
    match key, parameters:
        case RSAPublicKey(), (PKCS1v15() | PSS()) as padding if algorithm:
            key.verify(signature, signed, padding, algorithm)
        case EllipticCurvePublicKey(), ECDSA() as ecdsa:
            key.verify(signature, signed, ecdsa)
        case ((Ed25519PublicKey() | Ed448PublicKey()), None):
            key.verify(signature, signed)
        case _:
            raise InvalidSignature


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return False
