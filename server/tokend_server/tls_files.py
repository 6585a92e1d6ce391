"""TLS files: a certificate, its key and the authorities of clients, read and checked as one, and followed."""

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

#: The elliptic curves of the keys that gRPC can serve with.
_CURVES = frozenset({"secp256r1", "secp384r1"})

#: From it on, the octet behind a tag says how many octets of the length follow (X.690, section 8.1.3).
_LONG_FORM = 0x80

#: What tells that files have changed; None while one of them is not there.
Stamp = tuple[tuple[int, int, int, int], ...] | None


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """What a listener proves itself with, and whom it trusts: what was read from the files, serialized again.

    Attributes:
        certificate_chain: PEM, the listener's own certificate first.
        private_key: PEM; never shown.
        client_authorities: PEM; None lets clients without a certificate in.
        authorities: The same, parsed.
        expires_at: When the listener's certificate expires.
    """

    certificate_chain: bytes
    private_key: "_Hidden"
    client_authorities: bytes | None
    authorities: Sequence[x509.Certificate]
    expires_at: datetime


class _Hidden(bytes):
    """Bytes that do not show themselves."""

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
        client_ca: The authorities of clients, if clients need certificates.
    """

    certificate: Path
    private_key: Path
    client_ca: Path | None = None

    def read(self) -> TlsMaterial:
        """Reads the files.

        Raises:
            ValueError: They cannot be used together; the text names every file with what is wrong with it.
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
        """Something that is another after a change of the files."""
        paths = (self.certificate, self.private_key, *((self.client_ca,) if self.client_ca else ()))
        try:
            # The time of the inode's change: a file that could not be read may only have got another mode or owner.
            return tuple((s.st_dev, s.st_ino, s.st_size, s.st_ctime_ns) for s in map(os.stat, paths))
        except OSError:
            return None


@dataclass(frozen=True, slots=True)
class TlsGauges:
    """The metrics of a listener's files, and of the connections that ask for them.

    Attributes:
        expires_at: Called with the time at which the certificate that serves expires, in seconds since the Unix epoch.
        stale: Called with 1 when the files cannot be used, so that those before them still serve, else 0.
        handshake: Called when a handshake begins.
    """

    expires_at: Callable[[float], None]
    stale: Callable[[float], None]
    handshake: Callable[[], None]


class FollowedFiles(Generic[_Used]):
    """Files that are read again when they have changed, while those before them serve where new ones cannot be used.

    Args:
        files: The files.
        address: The listener, for the log.
        gauges: Where the state of the files is reported.
        use: Makes what serves with them; raises ValueError where they cannot be used after all.

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
        self._current = self._take()

    @property
    def current(self) -> _Used:
        """What serves."""
        return self._current

    def for_handshake(self) -> _Used:
        """What a handshake that begins now is to use."""
        self._gauges.handshake()
        self.look()
        return self._current

    def look(self) -> None:
        """Looks at the files."""
        with self._lock:
            stamp = self._files.stamp()
            if stamp == self._seen:
                return
            self._seen = stamp
            try:
                self._current = self._take()
            except ValueError as error:
                self._gauges.stale(1)
                members = {"listen": self._address, "problem": str(error)}
                _log.error("TLS files cannot be used; those before them still serve", extra=members)
            else:
                _log.info("TLS files loaded", extra={"listen": self._address})

    def _take(self) -> _Used:
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
    """The same authorities, of which those that were renewed with their key come before their old certificates.

    gRPC takes the first one of a name and a key that it finds, and no other where that has expired, or is yet to begin.
    """
    places: dict[tuple[bytes, bytes], int] = {}

    def place(authority: x509.Certificate) -> tuple[int, bool, float]:
        of_name_and_key = places.setdefault((authority.subject.public_bytes(), _key_of(authority)), len(places))
        return of_name_and_key, authority.not_valid_before_utc > now, -authority.not_valid_after_utc.timestamp()

    return sorted(authorities, key=place)


def _key_of(certificate: x509.Certificate) -> bytes:
    """The public key; where it is of an unknown kind, what no other certificate has."""
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
    """Names what gRPC's TLS does not take of a certificate.

    gRPC says no reason at its start, and nothing at all later: it would serve on with what it had.
    """
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):  # it has been named as one that the private key does not belong to
        return
    usual = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if _algorithm_identifier(usual) not in certificate.tbs_certificate_bytes:
        problems.append(f"{path}: its key is for RSASSA-PSS alone, or on a curve that is spelled out rather than named")
    elif isinstance(key, EllipticCurvePublicKey) and not _may_sign(certificate):
        problems.append(f"{path}: its key usage lacks digitalSignature")


def _algorithm_identifier(public_key: bytes) -> bytes:
    """The AlgorithmIdentifier of a SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7), both in DER."""
    begin = 2 if public_key[1] < _LONG_FORM else 2 + public_key[1] - _LONG_FORM
    return public_key[begin : begin + 2 + public_key[begin + 1]]


def _may_sign(certificate: x509.Certificate) -> bool:
    """Whether the key may sign, as in a handshake: a certificate that says nothing of usage lets it."""
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return True
