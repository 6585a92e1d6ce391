"""Checks of PEM files (RFC 7468)."""

import ssl


def has_certificates(content: bytes) -> bool:
    """Returns whether a file contains certificates: gRPC would only report a failed connection."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content.decode("ascii", "replace"))
    except (ssl.SSLError, ValueError):
        return False
    return True
