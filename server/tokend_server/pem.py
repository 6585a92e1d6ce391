"""PEM files (RFC 7468), read once for all who use them.

Readers of PEM differ in what they pass over: a byte-order mark or an indented line hides a certificate from OpenSSL and
BoringSSL, which go on with the others in the file. So what is read here is serialized again for them, and what one of
them would pass over and another would not is an error.
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

#: How files begin that are no PEM: DER of a certificate, a key or a PKCS #12 bundle, and text of two octets a letter.
_DER = re.compile(rb"\x30[\x80-\x84]")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_UTF_8_MARK = b"\xef\xbb\xbf"


def read_certificates(data: bytes) -> Sequence[x509.Certificate]:
    """The certificates of a file, in its order.

    Other text and other kinds of blocks are passed over.

    Raises:
        ValueError: There is none, or one that cannot be read; the text says why and repeats nothing of the file.
    """
    text = _text(data, _NO_CERTIFICATES)
    blocks = _blocks(text)
    if any(label == b"TRUSTED CERTIFICATE" for label, _ in blocks):
        raise ValueError("a TRUSTED CERTIFICATE, which is OpenSSL's own; convert it with `openssl x509`")
    found = [block for label, block in blocks if label in _CERTIFICATES]
    if not found:
        raise ValueError(_NO_CERTIFICATES)
    if 2 * len(blocks) != len(_BOUNDARY.findall(text)):
        raise ValueError("a certificate is cut off")
    try:
        return [x509.load_pem_x509_certificate(block) for block in found]
    except ValueError:
        raise ValueError(_NO_CERTIFICATES) from None


def read_private_key(data: bytes) -> PrivateKeyTypes:
    """The private key of a file.

    Raises:
        ValueError: There is none, or several, or one that cannot be read; the text says why and repeats nothing of the
            file.
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
    """PEM that every reader understands alike."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def write_private_key(key: PrivateKeyTypes) -> bytes:
    """PEM of PKCS #8, without a password."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _text(data: bytes, problem: str) -> bytes:
    """The lines of a file without what indents or ends them."""
    if data.startswith(_UTF_16):
        raise ValueError(f"{problem}: it is UTF-16 text; write it as ASCII")
    if _DER.match(data):
        raise ValueError(f"{problem}: it is DER or PKCS #12; convert it with `openssl`")
    apart = data.removeprefix(_UTF_8_MARK).replace(b"----------", b"-----\n-----")  # where files were put together
    lines = [line.strip() for line in re.split(rb"[\r\n]+", apart)]
    if any((boundary := _BOUNDARY.search(line)) and boundary[0] != line for line in lines):
        raise ValueError(f"{problem}: a BEGIN or END shares its line with something else")
    return b"\n".join(lines)


def _blocks(text: bytes) -> Sequence[tuple[bytes, bytes]]:
    """The whole blocks, with their labels."""
    return [(match[1], match[0] + b"\n") for match in _BLOCK.finditer(text)]
