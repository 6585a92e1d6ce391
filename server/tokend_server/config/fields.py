"""The kinds of values that settings have, with what is wrong with others."""

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import NoDecode

from tokend_server.callers.keys import check_digest
from tokend_server.callers.patterns import check_pattern

#: How the URL of a SQLite database begins.
SQLITE = "sqlite:///"

#: A host name, an IPv4 address, or an IPv6 address without its brackets.
_HOST = r"[A-Za-z0-9_.:-]+"

#: The most that gRPC holds in a number of its settings.
MOST = 2**31 - 1


def host_and_port(address: str) -> tuple[str, int]:
    """Splits `host:port`, with an IPv6 host in brackets.

    Raises:
        ValueError: It is not of that form.
    """
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:  # the text repeats the address
        host, port = None, None
    if not host or port is None or parts.netloc != address or parts.username is not None:
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080")
    return host, port


def is_loopback(host: str) -> bool:
    """Tells whether only this machine can reach a host name or address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_local(address: str) -> bool:
    """Tells whether only this machine can reach a listening address: a unix socket, or a loopback host."""
    return address.startswith("unix:") or is_loopback(host_and_port(address)[0])


def _tcp_address(address: str) -> str:
    host_and_port(address)
    return address


def _grpc_address(address: str) -> str:
    if address == "unix:":
        raise ValueError("must name the socket, such as unix:/run/tokend.sock")
    return address if address.startswith("unix:") else _tcp_address(address)


def _split_commas(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def provider_issuer(url: str) -> str:
    """Returns the URL of an issuer, if it can be one.

    Raises:
        ValueError: It is none, for the reason in the text.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # the text repeats a part of the URL
        raise ValueError("must be a URL, such as https://tokens.example.internal, with a port up to 65535") from None
    if parts.scheme not in {"https", "http"} or not re.fullmatch(_HOST, parts.hostname or ""):
        raise ValueError("must be a URL, such as https://tokens.example.internal")
    if parts.username is not None or port == 0:
        raise ValueError("must name a host and, where it is not the scheme's own, a port, and no user")
    if parts.query or parts.fragment:
        raise ValueError("must have no query and no fragment")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("must be https, except on a loopback host")
    return url


def _issuer_url(url: str) -> str:
    if url.endswith("/"):
        raise ValueError("must have no slash at its end")
    return provider_issuer(url)


def _endpoint_url(url: str) -> str:
    return provider_issuer(url.removesuffix("/"))


def _store_url(url: str) -> str:
    path = url.removeprefix(SQLITE)
    if path == url or not path or path.startswith(":"):
        raise ValueError("must be sqlite:///PATH, with a file that outlives the process")
    return url


def _audit_destination(destination: str) -> str:
    if destination not in {"none", "stdout"} and not destination.removeprefix("file:").startswith("/"):
        raise ValueError("must be none, stdout or file:/PATH")
    return destination


TcpAddress = Annotated[str, AfterValidator(_tcp_address)]
GrpcAddress = Annotated[str, AfterValidator(_grpc_address)]
StoreUrl = Annotated[str, AfterValidator(_store_url)]
IssuerUrl = Annotated[str, AfterValidator(_issuer_url)]
EndpointUrl = Annotated[str, AfterValidator(_endpoint_url)]
ProviderIssuer = Annotated[str, AfterValidator(provider_issuer)]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
PositiveSeconds = Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)]
PoolId = Annotated[str, Field(max_length=55, pattern=r"^[A-Za-z0-9_-]+:[0-9a-f-]+$")]


CommaSeparated = (NoDecode, BeforeValidator(_split_commas))
Addresses = Annotated[list[GrpcAddress], *CommaSeparated]
CallerPattern = Annotated[str, AfterValidator(check_pattern)]
CallerPatterns = Annotated[list[CallerPattern], *CommaSeparated]
KeyDigest = Annotated[str, AfterValidator(check_digest)]
AuditDestination = Annotated[str, AfterValidator(_audit_destination)]
#: A name that stands in the name of a caller or of a row.
Name = Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9_.-]+$")]


class Section(BaseModel):
    """A table of the file: nothing unknown in it, and never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
