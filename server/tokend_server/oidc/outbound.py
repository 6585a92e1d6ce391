"""Requests to the issuers of tokens: one policy for callers' issuers and login providers.

An issuer's documents contain further URLs, so others choose where this service connects to. Therefore a request
- uses https, or http on a loopback host, and follows no redirect;
- connects to an internal address (loopback, private, or link-local, which includes clouds' metadata services) only if
  the caller allows it; the check is on the address of the connection, whatever the form of the host in the URL;
- takes a limited time and a limited number of octets: each wait for the network ends with the deadline.

Proxies are taken from HTTPS_PROXY and NO_PROXY, in upper or lower case. With a proxy, the proxy resolves names.
"""

import ipaddress
import os
import re
import socket
import ssl
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from urllib3 import BaseHTTPResponse, PoolManager, ProxyManager, Timeout
from urllib3.exceptions import HTTPError
from urllib3.util import Url, make_headers, parse_url

from tokend_server.clock import Deadline
from tokend_server.hosts import address_in, is_internal, is_internal_host, is_loopback, is_secure
from tokend_server.oidc.urllib3_internals import connect_by
from tokend_server.pem import read_certificates, write_certificates

#: The maximum size of a document in octets, after decompression.
MAX_DOCUMENT_BYTES = 1 << 20

#: Seconds to wait for a connection, or for data on it.
SOCKET_TIMEOUT = 2.0

_CHUNK_BYTES = 1 << 16
_HTTPS_PORT = 443


class FetchFailed(Exception):
    """Raised when a document could not be fetched, for the reason in the text, which is for operators."""


@dataclass(frozen=True, slots=True)
class Document:
    """A response with status 200.

    Attributes:
        body: Its body, at most `MAX_DOCUMENT_BYTES`.
        from_internal: Whether it came from an internal address, and not through a proxy.
        media_type: Its media type, such as `application/json` (RFC 9110, section 8.3.1).
    """

    body: bytes
    from_internal: bool
    media_type: str = ""


def require_secure_url(url: str) -> None:
    """Checks that a URL ensures integrity: https, or http that does not leave the host.

    Raises:
        ValueError: It is neither, it is not a URL, or it contains credentials.
    """
    parts = parse_url(url)
    host = parts.host or ""
    if not (host and is_secure(parts.scheme, host)) or parts.auth:
        raise ValueError("must be an https URL without credentials; http is for loopback hosts only")


def origin(url: str) -> tuple[str | None, str | None, int]:
    """Returns the scheme, host and port of a URL (RFC 6454, section 4)."""
    parts = parse_url(url)
    return parts.scheme, parts.host, parts.port or (_HTTPS_PORT if parts.scheme == "https" else 80)


class IssuerHttp:
    """Makes the requests. It keeps no connections, because keys are fetched only every few minutes.

    Args:
        ca_file: PEM certificates of the only trusted authorities, read at each request; by default the system's.
        environment: The environment with the proxies.

    Raises:
        ValueError: The file cannot be read or contains no certificate.
    """

    def __init__(self, ca_file: Path | None = None, environment: Mapping[str, str] = os.environ) -> None:
        self._ca_file = ca_file
        self._environment = environment
        if ca_file is not None:
            self._context()

    def get(self, url: str, headers: Mapping[str, str], deadline: Deadline, *, allow_internal: bool = True) -> Document:
        """Makes a GET request.

        Args:
            url: A URL that `require_secure_url` accepts.
            headers: The headers; credentials must be intended for the URL.
            deadline: The deadline of the request.
            allow_internal: Whether it may connect to an internal address.

        Raises:
            FetchFailed: There was no response with status 200 in time, or the request was not allowed.
        """
        parts = parse_url(url)
        proxy = _proxy(parts, self._environment)
        if not allow_internal and is_internal_host(parts.host or ""):
            raise _internal_address_error(url)
        route = _Route(url, deadline, allow_internal=allow_internal or proxy is not None)
        try:
            context = self._context(route) if parts.scheme == "https" else None
        except ValueError as error:
            raise FetchFailed(str(error)) from None
        with _manager(proxy, context, route) as manager:
            body, content_type = _get(manager, url, headers, deadline)
        return Document(body, route.used_internal and proxy is None, content_type.partition(";")[0].strip().lower())

    def _context(self, route: "_Route | None" = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=None if self._ca_file is None else _authorities(self._ca_file))
        if route is not None:
            context.sslsocket_class = route.bounded(ssl.SSLSocket)
        return context


class _Route:
    """Connects for one request, and remembers the address."""

    def __init__(self, url: str, deadline: Deadline, *, allow_internal: bool) -> None:
        self.used_internal = False
        self._url = url
        self._deadline = deadline
        self._allow_internal = allow_internal

    def connect(self, host: str, port: int) -> socket.socket:
        failure: FetchFailed | None = None
        try:
            found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise FetchFailed(f"GET {self._url!r}: {host} is not found: {error}") from None
        for family, kind, protocol, _name, address in found:
            internal = is_internal(ipaddress.ip_address(address[0]))
            if internal and not self._allow_internal:
                failure = _internal_address_error(self._url)
                continue
            connection: socket.socket = self.bounded(socket.socket)(family, kind, protocol)
            try:
                connection.settimeout(_socket_timeout(self._deadline))
                connection.connect(address)
            except OSError as error:
                connection.close()
                failure = FetchFailed(f"GET {self._url!r}: no connection to {host}: {error.strerror or error}")
            except BaseException:
                connection.close()
                raise
            else:
                self.used_internal = internal
                return connection
        raise failure or FetchFailed(f"GET {self._url!r}: {host} has no address")

    def bounded(self, kind: Any) -> Any:  # noqa: ANN401 -- a class of sockets, and one derived from it
        """Returns a subclass of a socket class whose reads time out at the deadline."""
        deadline = self._deadline

        class Bounded(kind):  # type: ignore[misc]
            def recv_into(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 -- as the base class
                self.settimeout(_socket_timeout(deadline))
                return super().recv_into(*arguments, **options)

            def recv(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 -- as the base class
                self.settimeout(_socket_timeout(deadline))
                return super().recv(*arguments, **options)

        return Bounded


def _authorities(file: Path) -> str:
    try:
        return write_certificates(read_certificates(file.read_bytes())).decode()
    except OSError as error:
        raise ValueError(f"{file} holds no certificates that can be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{file} holds no certificates that can be read: {error}") from None


def _manager(proxy: Url | None, context: ssl.SSLContext | None, route: _Route) -> PoolManager:
    if proxy is None:
        manager = PoolManager(ssl_context=context)
    else:
        proxy_context = ssl.create_default_context()
        proxy_context.sslsocket_class = route.bounded(ssl.SSLSocket)
        manager = ProxyManager(
            proxy._replace(auth=None).url,
            proxy_headers=_credentials(proxy),
            proxy_ssl_context=proxy_context,
            ssl_context=context,
        )

    connect_by(manager, route.connect)
    return manager


def _credentials(proxy: Url) -> Mapping[str, str]:
    """Returns the header for the percent-encoded user and password in a proxy's URL (RFC 3986, section 3.2.1)."""
    if proxy.auth is None:
        return {}
    user, _, password = proxy.auth.partition(":")
    # urllib3 encodes each character as one octet.
    return make_headers(proxy_basic_auth=unquote_to_bytes(f"{user}:{password}").decode("latin-1"))


def _get(manager: PoolManager, url: str, headers: Mapping[str, str], deadline: Deadline) -> tuple[bytes, str]:
    try:
        response = manager.request(
            "GET",
            url,
            headers=headers,
            timeout=Timeout(connect=SOCKET_TIMEOUT, read=SOCKET_TIMEOUT, total=_remaining(deadline)),
            redirect=False,
            retries=False,
            preload_content=False,
            decode_content=True,  # some servers compress although this was not requested
        )
        with closing(response):
            if response.status != 200:  # noqa: PLR2004 -- the number is the status's name
                raise FetchFailed(f"GET {url!r}: status {response.status}")
            return _read(response, deadline), response.headers.get("content-type", "")
    except (HTTPError, OSError) as error:
        raise FetchFailed(f"GET {url!r}: {type(error).__name__}{_certificate_problem(error)}") from None


def _certificate_problem(error: Exception) -> str:
    """Returns the problem of the server's certificate, if that is the cause."""
    (cause, *_) = (*error.args, None)
    return f": {cause.verify_message}" if isinstance(cause, ssl.SSLCertVerificationError) else ""


def _read(response: BaseHTTPResponse, deadline: Deadline) -> bytes:
    body = bytearray()
    # read1 returns the data received so far, so that a slow body is noticed.
    while chunk := response.read1(_CHUNK_BYTES):
        body += chunk
        if len(body) > MAX_DOCUMENT_BYTES:
            raise FetchFailed("a document is too large")
        _remaining(deadline)
    return bytes(body)


def _remaining(deadline: Deadline) -> float:
    remaining = deadline.remaining()
    if remaining == 0:
        raise FetchFailed("it took too long")
    return remaining


def _socket_timeout(deadline: Deadline) -> float:
    return min(SOCKET_TIMEOUT, _remaining(deadline))


def _internal_address_error(url: str) -> FetchFailed:
    return FetchFailed(f"GET {url!r}: it leads to an internal address, to which no public issuer or jwks_url may lead")


def _proxy(parts: Url, environment: Mapping[str, str]) -> Url | None:
    """Returns the proxy for a URL; None for http, which is only for this host."""
    given = _variable(environment, "https_proxy")
    host = parts.host or ""
    if not given or parts.scheme != "https" or is_loopback(host):
        return None
    if _bypasses_proxy(host.strip("[]"), parts.port or _HTTPS_PORT, _variable(environment, "no_proxy")):
        return None
    try:
        proxy = parse_url(given if "://" in given else f"http://{given}")
    except HTTPError:
        raise FetchFailed("HTTPS_PROXY is not a URL") from None
    if proxy.scheme not in {"http", "https"} or not proxy.host:
        raise FetchFailed("HTTPS_PROXY must be an http:// or https:// URL")
    return proxy


def _variable(environment: Mapping[str, str], name: str) -> str:
    return (environment.get(name) or environment.get(name.upper()) or "").strip()


def _bypasses_proxy(host: str, port: int, no_proxy: str) -> bool:
    return any(_is_listed(host, port, entry) for entry in re.split(r"[,\s]+", no_proxy.lower()) if entry)


def _is_listed(host: str, port: int, entry: str) -> bool:
    if entry == "*":
        return True
    address = address_in(host)
    if address is not None:
        try:
            return address in ipaddress.ip_network(entry.strip("[]"), strict=False)
        except ValueError:
            pass
    name, _, of_port = entry.partition(":")
    if of_port and of_port != str(port):
        return False
    name = name.removeprefix("*").removeprefix(".")
    return host == name or host.endswith(f".{name}")
