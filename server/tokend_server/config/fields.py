"""The types of settings' values, with the texts of their errors."""

import re
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Self, Union, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import NoDecode

from tokend_server.callers.aws_keys import check_access_key_id
from tokend_server.callers.keys import check_digest
from tokend_server.callers.patterns import check_pattern
from tokend_server.config.addresses import grpc_address, tcp_address
from tokend_server.config.paths import expand_home
from tokend_server.hosts import is_secure

#: The prefix of a destination that is a file.
FILE = "file:"

#: A host name, an IPv4 address, or an IPv6 address without its brackets.
_HOST = r"[A-Za-z0-9_.:-]+"

#: The maximum of numbers in gRPC's settings.
MAX_INT32 = 2**31 - 1


def _split_commas(value: object) -> object:
    """Returns the parts of a text; a trailing comma is allowed, as in lists of TOML."""
    return [part.strip() for part in value.strip().removesuffix(",").split(",")] if isinstance(value, str) else value


def provider_issuer(url: str) -> str:
    """Returns the URL of an issuer, if it is valid.

    Raises:
        ValueError: It is not valid, for the reason in the text.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # the text contains a part of the URL
        raise ValueError("must be a URL, such as https://tokens.example.internal, with a port up to 65535") from None
    if parts.scheme not in {"https", "http"} or not re.fullmatch(_HOST, parts.hostname or ""):
        raise ValueError("must be a URL, such as https://tokens.example.internal")
    if parts.username is not None or port == 0:
        raise ValueError("must have a host, a port unless it is the scheme's default, and no user")
    if re.search("[?#]", url):
        raise ValueError("must have no query and no fragment")
    if not is_secure(parts.scheme, parts.hostname or ""):
        raise ValueError("must be https, except on a loopback host")
    return url


def _endpoint_url(url: str) -> str:
    return provider_issuer(url.removesuffix("/"))


def _audit_destination(destination: str) -> str:
    if destination in {"none", "stdout"}:
        return destination
    path = destination.removeprefix(FILE)
    if path == destination or not path.startswith(("/", "~")):
        raise ValueError("must be none, stdout or file:/PATH")
    return FILE + expand_home(path)


TcpAddress = Annotated[str, AfterValidator(tcp_address)]
GrpcAddress = Annotated[str, AfterValidator(grpc_address)]
EndpointUrl = Annotated[str, AfterValidator(_endpoint_url)]
ProviderIssuer = Annotated[str, AfterValidator(provider_issuer)]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
PositiveSeconds = Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)]
#: A larger skew than an hour would hide a wrong clock.
ClockSkew = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]
#: An id has 55 characters; ids of identities have 37 after the region.
PoolId = Annotated[str, Field(max_length=55, pattern=r"^[A-Za-z0-9_-]{1,18}:[0-9a-f-]+$")]


CommaSeparated = (NoDecode, BeforeValidator(_split_commas))
Addresses = Annotated[list[GrpcAddress], *CommaSeparated]
CallerPattern = Annotated[str, AfterValidator(check_pattern)]
CallerPatterns = Annotated[list[CallerPattern], *CommaSeparated]
AccessKeyId = Annotated[str, AfterValidator(check_access_key_id)]
KeyDigest = Annotated[str, AfterValidator(check_digest)]
AuditDestination = Annotated[str, AfterValidator(_audit_destination)]
#: A name that is part of the name of a caller, or that of a row or of a developer provider.
Name = Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9_.-]+$")]


class Section(BaseModel):
    """A table of the file: immutable, without unknown settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _reject_booleans_as_numbers(cls, value: object, info: ValidationInfo) -> object:
        """Refuses true and false, which pydantic would read as 1 and 0."""
        if isinstance(value, bool) and _is_number(cls.model_fields[info.field_name or ""].annotation):
            raise ValueError("must be a number, not true or false")
        return value

    @model_validator(mode="after")
    def _check_own_problems(self) -> Self:
        if problems := dict.fromkeys(self._own_problems()):
            raise ValueError("\n".join(problems))
        return self

    def _own_problems(self) -> Iterator[str]:
        """Yields the problems between its settings."""
        yield from ()


def _is_number(kind: object) -> bool:
    """Returns whether a type is a number, or a union with one."""
    if get_origin(kind) is Annotated:
        return _is_number(get_args(kind)[0])
    return (
        kind is int
        or kind is float
        or (get_origin(kind) in {Union, UnionType} and any(map(_is_number, get_args(kind))))
    )


def section_of(field: FieldInfo) -> type[Section] | None:
    """Returns the type of a field that is a table; None for a setting."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None
