"""A self-signed TLS certificate for servers on the loopback address."""

import datetime as dt
import ipaddress
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HOST = "127.0.0.1"

_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")

#: The options of `openssl ec` for such a key.
_COMPRESSED = ("-conv_form", "compressed")

#: The options of `openssl req` for certificates that gRPC cannot serve with, and tokend's messages about them.
UNUSABLE: Mapping[str, tuple[tuple[str, ...], str]] = {
    "RSASSA-PSS": (
        ("-newkey", "rsa-pss"),
        "its key is for RSASSA-PSS only, or on a curve with explicit parameters",
    ),
    "a curve without its name": (
        (*_EC, "-pkeyopt", "ec_param_enc:explicit"),
        "its key is for RSASSA-PSS only, or on a curve with explicit parameters",
    ),
    "a key that may not sign": (
        (*_EC, "-addext", "keyUsage=critical,keyAgreement"),
        "its key usage lacks digitalSignature",
    ),
}

#: Its options for unusual certificates that gRPC can serve with.
USABLE: Mapping[str, tuple[str, ...]] = {
    "a key that may sign": (*_EC, "-addext", "keyUsage=critical,digitalSignature"),
    "RSA without a word of signing": ("-newkey", "rsa:2048", "-addext", "keyUsage=critical,keyEncipherment"),
    "a point in short": _COMPRESSED,
}


@dataclass(frozen=True)
class Certificate:
    """The PEM files of a self-signed certificate and its key."""

    certificate_file: Path
    private_key_file: Path


def write_certificate(directory: Path, host: str = HOST) -> Certificate:
    """Creates a certificate for an address, by default the loopback's, that is valid for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tokend.example.test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = Certificate(directory / "tls.crt", directory / "tls.key")
    files.certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.private_key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def write_odd_certificate(certificate_file: Path, private_key_file: Path, kind: tuple[str, ...]) -> None:
    """Creates a self-signed certificate of a kind in `UNUSABLE` or `USABLE` with OpenSSL."""
    key, made = str(private_key_file), ("-x509", "-noenc", "-subj", "/CN=tokend", "-out", str(certificate_file))
    if kind == _COMPRESSED:
        _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        _openssl("ec", "-in", key, *kind, "-out", key)
        _openssl("req", *made, "-key", key)
    else:
        _openssl("req", *made, *kind, "-keyout", key)


def _openssl(*arguments: str) -> None:
    subprocess.run(("openssl", *arguments), capture_output=True, check=True)
