"""Parses PEM files (RFC 7468), in one way for all libraries.

PEM parsers differ in what they ignore: a byte-order mark or an indented line hides a certificate from OpenSSL and
BoringSSL, which use only the others in the file. Therefore the parsed contents are serialized again for them, and
contents that only some of them would ignore are an error.
"""

import re
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

_BOUNDARY = re.compile(rb"-----(?:BEGIN|END) [A-Z0-9 ]+-----")
_BLOCK = re.compile(rb"^-----BEGIN ([A-Z0-9 ]+)-----\n(.*?)^-----END \1-----$", re.MULTILINE | re.DOTALL)
_CERTIFICATES = frozenset({b"CERTIFICATE", b"X509 CERTIFICATE"})

_NO_CERTIFICATES, _NO_KEY = "no PEM certificates", "no PEM private key without a password"

#: The prefixes of other formats: DER of a certificate, a key or a PKCS #12 bundle, and UTF-16 text.
_DER = re.compile(rb"\x30[\x80-\x84]")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_UTF_8_MARK = b"\xef\xbb\xbf"


def read_certificates(data: bytes) -> Sequence[x509.Certificate]:
    """Returns the certificates in a file, in order.

    Other text and other kinds of blocks are ignored.

    Raises:
        ValueError: There is none, or one cannot be parsed; the text has the reason without the file's contents.
    """
    text = _text(data, _NO_CERTIFICATES)
    blocks = _blocks(text)
    if any(label == b"TRUSTED CERTIFICATE" for label, _ in blocks):
        raise ValueError("a TRUSTED CERTIFICATE, which is OpenSSL's own; convert it with `openssl x509`")
    found = [block for label, block in blocks if label in _CERTIFICATES]
    if not found:
        raise ValueError(_NO_CERTIFICATES)
    if 2 * len(blocks) != len(_BOUNDARY.findall(text)):
        raise ValueError("a certificate is truncated")
    try:
        return [x509.load_pem_x509_certificate(block) for block in found]
    except ValueError:
        raise ValueError(_NO_CERTIFICATES) from None


def read_private_key(data: bytes) -> PrivateKeyTypes:
    """Returns the private key in a file.

    Raises:
        ValueError: There is none, there are several, or it cannot be parsed; the text has the reason without the file's
            contents.
    """
    blocks = _blocks(_text(data, _NO_KEY))
    found = [block for label, block in blocks if label.endswith(b"PRIVATE KEY")]
    if len(found) > 1:
        raise ValueError("more than one private key")
    try:
        return load_pem_private_key(b"".join(found), password=None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        raise ValueError(_NO_KEY) from None


def write_certificates(certificates: Sequence[x509.Certificate]) -> bytes:
    """Returns the certificates as PEM that all parsers read in the same way."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def write_private_key(key: PrivateKeyTypes) -> bytes:
    """Returns the key as PEM of PKCS #8, without a password."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _text(data: bytes, problem: str) -> bytes:
    """Returns the lines of a file without surrounding white space."""
    if data.startswith(_UTF_16):
        raise ValueError(f"{problem}: it is UTF-16 text; write it as ASCII")
    if _DER.match(data):
        raise ValueError(f"{problem}: it is DER or PKCS #12; convert it with `openssl`")
    apart = data.removeprefix(_UTF_8_MARK).replace(b"----------", b"-----\n-----")  # where files were concatenated
    lines = [line.strip() for line in re.split(rb"[\r\n]+", apart)]
    if any((boundary := _BOUNDARY.search(line)) and boundary[0] != line for line in lines):
        raise ValueError(f"{problem}: a BEGIN or END line has other text")
    return b"\n".join(lines)


def _blocks(text: bytes) -> Sequence[tuple[bytes, bytes]]:
    """Returns the complete blocks, with their labels."""
    return [(match[1], match[0] + b"\n") for match in _BLOCK.finditer(text)]
