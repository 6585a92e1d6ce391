"""Checks whether a listener accepts connections, as far as this is visible without credentials.

A listener with its maximum number of connections closes a new one at once. It still serves its connections and makes
room for others, so it counts as reachable. Otherwise an attacker who fills its table would make load balancers take
this server, and then the next one, away from all callers.
"""

import secrets
import socket
import ssl
import sys
from contextlib import suppress

#: The first octet of a record that continues a handshake (RFC 8446, section 5.1); an alert has another one.
_TLS_HANDSHAKE = b"\x16"

#: The first octet of the server's SETTINGS, which it sends unasked: a frame of less than 64 KiB.
_HTTP2_SETTINGS = b"\x00"


def accepts_connections(address: str, seconds: float, *, has_tls: bool) -> bool:
    """Returns whether a listener answers a new connection, or closes it because it has too many.

    Args:
        address: HOST:PORT or unix:PATH.
        seconds: The timeout in seconds.
        has_tls: Whether it uses TLS. The handshake is not completed: it may require a client certificate.
    """
    hello, answer = (_client_hello(), _TLS_HANDSHAKE) if has_tls else (b"", _HTTP2_SETTINGS)
    first = first_octet(address, seconds, hello)
    if has_tls and first == b"":
        # The listener may be unable to answer the handshake.
        first = first_octet(address, seconds, b"")
    return first in {answer, b""}


def first_octet(address: str, seconds: float, sent: bytes) -> bytes | None:
    """Returns the first octet of the response to some octets; empty if the connection is closed, None if there is none.

    Args:
        address: HOST:PORT or unix:PATH.
        seconds: The timeout of each step in seconds.
        sent: The octets to send.
    """
    try:
        connection = _connect(address, seconds)
    except OSError:
        return None
    with connection:
        try:
            connection.sendall(sent)
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
    """Returns a loopback address that no other client uses: the usual one may be barred because of a local client."""
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
