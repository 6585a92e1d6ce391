"""Whether a listener takes connections, as far as that shows without credentials.

A listener that has as many connections as it may have ends a new one at once. Those who have one are served, and room
is made for others: it takes connections. Otherwise whoever fills its table would take the server, and then the next
one, from all callers.
"""

import secrets
import socket
import ssl
import sys
from contextlib import suppress

#: The first octet of a record that goes on with a handshake (RFC 8446, section 5.1); an alert has another.
_TLS_HANDSHAKE = b"\x16"

#: The first octet of the server's SETTINGS, which it sends by itself: a frame of less than 64 KiB.
_HTTP2_SETTINGS = b"\x00"


def takes_connections(address: str, seconds: float, *, has_tls: bool) -> bool:
    """Whether a listener answers a new connection, or ends it because it has too many.

    Args:
        address: HOST:PORT or unix:PATH.
        seconds: How long it may take.
        has_tls: It speaks TLS. A handshake is begun and not gone on with: it may fail for want of a certificate.
    """
    hello, answer = (_client_hello(), _TLS_HANDSHAKE) if has_tls else (b"", _HTTP2_SETTINGS)
    first = _first_octet(address, seconds, hello)
    if has_tls and first == b"":
        # The handshake may be what it could not do.
        first = _first_octet(address, seconds, b"")
    return first in {answer, b""}


def _first_octet(address: str, seconds: float, hello: bytes) -> bytes | None:
    """The first octet of an answer; empty where the connection is ended, None where there is no answer in time."""
    try:
        connection = _connect(address, seconds)
    except OSError:
        return None
    with connection:
        try:
            connection.sendall(hello)
            return connection.recv(1)
        except ConnectionError:
            return b""
        except OSError:
            return None


def _connect(address: str, seconds: float) -> socket.socket:
    if address.startswith("unix:"):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(seconds)
        try:
            connection.connect(address.removeprefix("unix:"))
        except OSError:
            connection.close()
            raise
        return connection
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), seconds, _source(host))


def _source(host: str) -> tuple[str, int] | None:
    """A loopback address that no other client uses: the common one may be barred for what a client here has done."""
    if sys.platform == "linux" and host.startswith("127."):
        return f"127.{secrets.randbelow(255) + 1}.{secrets.randbelow(256)}.{secrets.randbelow(254) + 1}", 0
    return None


def _client_hello() -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    sent = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent).do_handshake()
    return sent.read()
