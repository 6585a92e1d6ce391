"""TLS files: a certificate, its key and the authorities of clients, which are validated together and reloaded."""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tokend_server.pem import read_certificates, read_private_key, write_certificates, write_private_key

_log = logging.getLogger(__name__)

_Parsed = TypeVar("_Parsed")
_Used = TypeVar("_Used")

#: The elliptic curves that gRPC supports for servers' keys.
_CURVES = frozenset({"secp256r1", "secp384r1"})

#: The minimum value of a length octet in long form, which has the number of further length octets (X.690, 8.1.3).
_LONG_FORM = 0x80

#: Changes when the files change; None while one of them is missing.
Stamp = tuple[tuple[int, int, int, int], ...] | None


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """The certificate, the key and the trusted authorities of a listener: the parsed files, serialized again.

    Attributes:
        certificate_chain: PEM, the listener's own certificate first.
        private_key: PEM; never shown.
        client_authorities: PEM; None to accept clients without a certificate.
        authorities: The same, parsed.
        expires_at: When the listener's certificate expires.
    """

    certificate_chain: bytes
    private_key: "_Hidden"
    client_authorities: bytes | None
    authorities: Sequence[x509.Certificate]
    expires_at: datetime


class _Hidden(bytes):
    """Bytes that are not printed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of a listener, in PEM.

    Attributes:
        certificate: The certificate chain.
        private_key: Its key.
        client_ca: The authorities of clients, if clients must have certificates.
    """

    certificate: Path
    private_key: Path
    client_ca: Path | None = None

    def read(self) -> TlsMaterial:
        """Reads the files.

        Raises:
            ValueError: They cannot be used together; the text lists the problems of each file.
        """
        problems: list[str] = []
        chain = _read(self.certificate, read_certificates, problems)
        key = _read(self.private_key, read_private_key, problems)
        trusted = _read(self.client_ca, read_certificates, problems) if self.client_ca else None
        if chain and key and not problems:
            _check_key(self.private_key, key, chain[0], problems)
            _check_certificate(self.certificate, chain[0], problems)
        if problems or not chain or not key:
            raise ValueError("; ".join(problems))
        return TlsMaterial(
            write_certificates(chain),
            _Hidden(write_private_key(key)),
            write_certificates(_renewed_first(trusted, datetime.now(UTC))) if trusted else None,
            tuple(trusted or ()),
            chain[0].not_valid_after_utc,
        )

    def stamp(self) -> Stamp:
        """Returns a value that changes when the files change."""
        paths = (self.certificate, self.private_key, *((self.client_ca,) if self.client_ca else ()))
        try:
            # The inode's change time: an unreadable file may have got only another mode or owner.
            return tuple((s.st_dev, s.st_ino, s.st_size, s.st_ctime_ns) for s in map(os.stat, paths))
        except OSError:
            return None


@dataclass(frozen=True, slots=True)
class TlsGauges:
    """The metrics of a listener's files, and of its handshakes.

    Attributes:
        expires_at: Called with the expiration of the current certificate, in seconds since the Unix epoch.
        stale: Called with 1 if the files cannot be used and the previous ones are still used, otherwise with 0.
        handshake: Called when a handshake starts.
    """

    expires_at: Callable[[float], None]
    stale: Callable[[float], None]
    handshake: Callable[[], None]


class ReloadedTlsFiles(Generic[_Used]):
    """Files that are reloaded when they have changed; if the new ones cannot be used, the previous ones are kept.

    Args:
        files: The files.
        address: The listener, for the log.
        gauges: The metrics of the files.
        use: Makes an object from the files for connections; raises ValueError if they cannot be used.

    Raises:
        ValueError: The files cannot be used.
    """

    def __init__(self, files: TlsFiles, address: str, gauges: TlsGauges, use: Callable[[TlsMaterial], _Used]) -> None:
        self._files = files
        self._address = address
        self._gauges = gauges
        self._use = use
        self._lock = threading.Lock()
        self._seen = files.stamp()
        self._current = self._load()

    @property
    def current(self) -> _Used:
        """The current object for connections."""
        return self._current

    def for_handshake(self) -> _Used:
        """Returns the object for a new handshake."""
        self._gauges.handshake()
        self.reload_if_changed()
        return self._current

    def reload_if_changed(self) -> None:
        """Reloads the files if they have changed."""
        with self._lock:
            stamp = self._files.stamp()
            if stamp == self._seen:
                return
            self._seen = stamp
            try:
                self._current = self._load()
            except ValueError as error:
                self._gauges.stale(1)
                members = {"listen": self._address, "problem": str(error)}
                _log.error("TLS files cannot be used; the previous ones are still used", extra=members)
            else:
                _log.info("TLS files loaded", extra={"listen": self._address})

    def _load(self) -> _Used:
        material = self._files.read()
        used = self._use(material)
        self._gauges.expires_at(material.expires_at.timestamp())
        self._gauges.stale(0)
        return used


def _read(path: Path, parse: Callable[[bytes], _Parsed], problems: list[str]) -> _Parsed | None:
    try:
        return parse(path.read_bytes())
    except OSError as error:
        problems.append(f"{path}: {error.strerror}")
    except ValueError as error:
        problems.append(f"{path}: {error}")
    return None


def _renewed_first(authorities: Sequence[x509.Certificate], now: datetime) -> Sequence[x509.Certificate]:
    """Returns the authorities, with certificates renewed for the same key before the old ones.

    gRPC uses the first certificate with a name and a key, and no other one if that is not valid now.
    """
    places: dict[tuple[bytes, bytes], int] = {}

    def place(authority: x509.Certificate) -> tuple[int, bool, float]:
        of_name_and_key = places.setdefault((authority.subject.public_bytes(), _key_of(authority)), len(places))
        return of_name_and_key, authority.not_valid_before_utc > now, -authority.not_valid_after_utc.timestamp()

    return sorted(authorities, key=place)


def _key_of(certificate: x509.Certificate) -> bytes:
    """Returns the public key; for an unknown type of key, a value that is unique to the certificate."""
    try:
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        return certificate.tbs_certificate_bytes


def _can_serve(key: PrivateKeyTypes) -> bool:
    return isinstance(key, RSAPrivateKey) or (isinstance(key, EllipticCurvePrivateKey) and key.curve.name in _CURVES)


def _check_key(path: Path, key: PrivateKeyTypes, certificate: x509.Certificate, problems: list[str]) -> None:
    try:
        belongs = key.public_key() == certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        belongs = False
    if not _can_serve(key):
        problems.append(f"{path}: neither an RSA key nor one on P-256 or P-384")
    elif not belongs:
        problems.append(f"{path}: not the key of the certificate")


def _check_certificate(path: Path, certificate: x509.Certificate, problems: list[str]) -> None:
    """Adds the properties of a certificate that gRPC's TLS does not support to the problems.

    gRPC reports no reason at the start, and nothing later, when it would keep the previous certificate.
    """
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):  # it has already been reported as not matching the private key
        return
    usual = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if _algorithm_identifier(usual) not in certificate.tbs_certificate_bytes:
        problems.append(f"{path}: its key is for RSASSA-PSS only, or on a curve with explicit parameters")
    elif isinstance(key, EllipticCurvePublicKey) and not _may_sign(certificate):
        problems.append(f"{path}: its key usage lacks digitalSignature")


def _algorithm_identifier(public_key: bytes) -> bytes:
    """Returns the AlgorithmIdentifier of a SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7), both in DER."""
    begin = 2 if public_key[1] < _LONG_FORM else 2 + public_key[1] - _LONG_FORM
    return public_key[begin : begin + 2 + public_key[begin + 1]]


def _may_sign(certificate: x509.Certificate) -> bool:
    """Returns whether the key may sign, as in a handshake: without a key usage extension it may."""
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return True
