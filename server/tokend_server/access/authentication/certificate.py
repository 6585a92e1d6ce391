"""Identifies callers by their TLS client certificates."""

import re
from collections.abc import Sequence
from functools import lru_cache

from tokend_server.access.authentication.presented import PresentedCredentials

#: The maximum length of a SPIFFE ID that implementations must support, in bytes (SPIFFE-ID, section 2.3).
_MAX_SPIFFE_ID_LENGTH = 2048

#: The maximum length of a host name (RFC 1123, section 2.1, with RFC 1035, section 2.3.4).
_MAX_DNS_NAME_LENGTH = 253

#: The number of certificates whose names are cached; every call of a connection has the same certificate.
_MAX_REMEMBERED = 1000

#: The characters of URIs (RFC 3986) and DNS names. With a NUL, a control character or a non-ASCII letter in a SAN,
#: programs disagree about the certificate's names.
_PRINTABLE = re.compile(r"[!-~]*")

_SEGMENT = r"(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+"
_SPIFFE_ID = re.compile(rf"spiffe://[a-z0-9._-]{{1,255}}(?:/{_SEGMENT})+")

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DNS_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


def caller_of(uris: Sequence[str], dns_names: Sequence[str]) -> str | None:
    """Returns the name of the holder of a certificate: its SPIFFE ID, or `dns:` with its first DNS SAN.

    An invalid X509-SVID identifies no caller, whatever its DNS SANs: a certificate with a SPIFFE ID that is malformed,
    has no path, or is not its only URI SAN (X509-SVID, section 5.2). Neither does a certificate with a character in
    any of these SANs that is not allowed in URIs and DNS names.

    Args:
        uris: All URI SANs of the certificate.
        dns_names: All DNS SANs of the certificate, in its order.

    Returns:
        The name; None if the certificate identifies no caller.
    """
    if not all(_PRINTABLE.fullmatch(name) for name in (*uris, *dns_names)):
        return None
    if any(_is_spiffe(uri) for uri in uris):
        return uris[0] if len(uris) == 1 and _is_spiffe_id(uris[0]) else None
    first = dns_names[0] if dns_names else ""
    return f"dns:{first.lower()}" if _is_dns_name(first) else None


def authenticate_by_certificate(presented: PresentedCredentials) -> str | None:
    """Returns the name of the caller from the certificate of the TLS connection."""
    return _remembered_caller_of(presented.uris, presented.dns_names)


_remembered_caller_of = lru_cache(_MAX_REMEMBERED)(caller_of)


def _is_spiffe(uri: str) -> bool:
    return uri[:7].lower() == "spiffe:"


def _is_spiffe_id(uri: str) -> bool:
    return len(uri) <= _MAX_SPIFFE_ID_LENGTH and _SPIFFE_ID.fullmatch(uri) is not None


def _is_dns_name(name: str) -> bool:
    return len(name) <= _MAX_DNS_NAME_LENGTH and _DNS_NAME.fullmatch(name) is not None
