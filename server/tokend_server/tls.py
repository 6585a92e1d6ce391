"""TLS files: a certificate, its key and the authorities of clients, read and checked as one."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

#: The elliptic curves of the keys that gRPC can serve with.
_CURVES = frozenset({"secp256r1", "secp384r1"})

#: What tells that files have changed; None while one of them is not there.
Stamp = tuple[tuple[int, int, int, int], ...] | None

_BEGIN = re.compile(rb"^-----BEGIN (?:X509 )?CERTIFICATE-----", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """What a listener proves itself with, and whom it trusts.

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
        chain, key = _read(self.certificate, problems), _read(self.private_key, problems)
        authorities = _read(self.client_ca, problems) if self.client_ca else None
        certificates = _certificates(self.certificate, chain, problems)
        trusted = _certificates(self.client_ca, authorities, problems) if self.client_ca else []
        if not problems and key is not None:
            _check_key(self.private_key, key, certificates[0], problems)
        if problems or chain is None or key is None:
            raise ValueError("; ".join(problems))
        return TlsMaterial(chain, _Hidden(key), authorities, tuple(trusted), certificates[0].not_valid_after_utc)

    def stamp(self) -> Stamp:
        """Something that is another after a change of the files."""
        paths = (self.certificate, self.private_key, *((self.client_ca,) if self.client_ca else ()))
        try:
            # The time of the inode's change: a file that could not be read may only have got another mode or owner.
            return tuple((s.st_dev, s.st_ino, s.st_size, s.st_ctime_ns) for s in map(os.stat, paths))
        except OSError:
            return None


def _read(path: Path, problems: list[str]) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError as error:
        problems.append(f"{path}: {error.strerror}")
        return None


def _certificates(path: Path, pem: bytes | None, problems: list[str]) -> Sequence[x509.Certificate]:
    if pem is None:
        return []
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except ValueError:
        problems.append(f"{path}: no PEM certificates")
        return []
    if len(certificates) < len(_BEGIN.findall(pem)):  # one that lacks its end is passed over
        problems.append(f"{path}: a certificate is cut off")
    return certificates


def _can_serve(key: object) -> bool:
    return isinstance(key, RSAPrivateKey) or (isinstance(key, EllipticCurvePrivateKey) and key.curve.name in _CURVES)


def _check_key(path: Path, pem: bytes, certificate: x509.Certificate, problems: list[str]) -> None:
    try:
        key = load_pem_private_key(pem, password=None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        problems.append(f"{path}: no PEM private key without a password")
        return
    try:
        belongs = key.public_key() == certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        belongs = False
    if not _can_serve(key):
        problems.append(f"{path}: neither an RSA key nor one on P-256 or P-384")
    elif not belongs:
        problems.append(f"{path}: not the key of the certificate")
