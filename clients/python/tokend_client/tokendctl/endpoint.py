"""The address of the service, as `HOST:PORT`, `unix:PATH` or a URL."""

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from tokend_client.tokendctl.errors import InvalidInput

_UNIX = "unix:"

#: Maximum bytes of a unix socket's path: `sun_path` of unix(7) minus the NUL at its end.
_MAX_SOCKET_PATH = 107

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address, and whether to use TLS.

    Attributes:
        target: The gRPC target.
        tls: Whether the URL is https; None without a URL, which leaves it to the other options.
    """

    target: str
    tls: bool | None = None


def parse_target(text: str) -> Endpoint:
    """Parses `HOST:PORT`, `unix:PATH` or any other gRPC target.

    Raises:
        InvalidInput: It is not an address.
    """
    if not text or not text.isprintable() or "://" in text:
        raise InvalidInput("not an address; a URL goes to --endpoint-url")
    path = text.removeprefix(_UNIX)
    if path == text:
        return Endpoint(text)
    path = os.path.expanduser(path)  # noqa: PTH111 - Path's own raises where there is no home directory
    if len(os.fsencode(path)) > _MAX_SOCKET_PATH:
        raise InvalidInput(f"the path of a unix socket has {_MAX_SOCKET_PATH} bytes at most")
    return Endpoint(_UNIX + path)


def parse_url(text: str) -> Endpoint:
    """Parses `http://HOST[:PORT]`, which is plaintext, or `https://HOST[:PORT]`, which is TLS.

    Raises:
        InvalidInput: It is not such a URL.
    """
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise InvalidInput("not a URL") from None
    if url.scheme not in _PORTS or not url.hostname or not text.isprintable() or " " in text:
        raise InvalidInput("expected http://HOST:PORT or https://HOST:PORT")
    if url.path not in {"", "/"} or url.query or url.fragment or url.username is not None:
        raise InvalidInput("a gRPC endpoint has no user, path or query")
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return Endpoint(f"{host}:{_PORTS[url.scheme] if port is None else port}", url.scheme == "https")
