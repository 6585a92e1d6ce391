"""The settings of tokens for services without an SDK: the tokens, and the sources of their data in Envoy."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from tokend_server.config.fields import CallerPattern, Name, PoolId, Section

#: A field name of HTTP (RFC 9110, section 5.1).
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

#: Headers of the connection or of the message's framing, and headers that Envoy's filters cannot change.
_FRAMING = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def _header(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError("must be the name of a header, such as x-user, and not a pseudo-header such as :authority")
    return name.lower()


def _settable_header(name: str) -> str:
    if (lower := _header(name)) in _FRAMING:
        raise ValueError(f"must not be {lower}, which Envoy's filters cannot set")
    return lower


def _keys(value: object) -> object:
    return value.split(".") if isinstance(value, str) else value


HeaderName = Annotated[str, AfterValidator(_header)]
SettableHeaderName = Annotated[str, AfterValidator(_settable_header)]
#: The path of keys to a value in nested objects. In a text, dots separate the keys.
KeyPath = Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_keys), Field(min_length=1)]


class VerifiedValue(Section):
    """The source of a verified value in Envoy: metadata of its filters, or a header from a proxy."""

    metadata: KeyPath | None = Field(
        None,
        description="Keys to the value in the metadata of `ext_authz.metadata_namespace`, such as `payload.sub`; "
        "a list where keys have dots",
    )
    header: HeaderName | None = Field(
        None, description="Or the header with the value, with `trusted = true`: the header is trusted, whoever sets it"
    )
    trusted: bool = Field(
        False, description="Only a trusted proxy can set the header: it removes the header of clients"
    )

    def _own_problems(self) -> Iterator[str]:
        if (self.metadata is None) == (self.header is None):
            yield "set one of metadata and header"
        elif self.header and not self.trusted:
            yield (
                "header: any client could set it: let a proxy remove the header of clients and set its own, and write "
                "trusted = true; or use metadata"
            )
        elif self.metadata and self.trusted:
            yield "trusted: is only for a header; metadata are Envoy's own"


class TagValue(VerifiedValue):
    """The source of the value of a principal tag in Envoy."""

    optional: bool = Field(False, description="Omit the tag if there is no value, instead of denying the request")


class WantedTokenSettings(Section):
    """The settings of a token, without its user."""

    identity_pool_id: PoolId = Field(description="Id of the pool; its `developer_provider_name` names the user")
    token_duration_seconds: int | None = Field(
        None, ge=1, le=86_400, description="Duration of the token; default 900, or the policy's maximum if that is less"
    )


class ExtAuthzMapping(WantedTokenSettings):
    """The token for requests of the routes that name the mapping."""

    user: VerifiedValue = Field(description="Source of the developer user in Envoy")
    principal_tags: dict[Annotated[str, Field(min_length=1, max_length=128)], TagValue] = Field(
        {}, description="Sources of the values of principal tags in Envoy, by tag key"
    )
    header: SettableHeaderName = Field("authorization", description="Header for the token")
    scheme: Annotated[str, Field(pattern=r"^[A-Za-z]*$", max_length=32)] = Field(
        "Bearer", description='Prefix of the token, followed by a space; `""`: no prefix'
    )
    failure_mode: Literal["closed", "open"] = Field(
        "closed",
        description="While tokend fails: `closed` responds with 503, `open` forwards requests without the header",
    )
    default_for: list[CallerPattern] = Field(
        [], description="Patterns of callers whose requests use this mapping if their route names none"
    )

    def _own_problems(self) -> Iterator[str]:
        values = {"user": self.user, **{f"principal_tags.{key}": tag for key, tag in self.principal_tags.items()}}
        for name, value in values.items():
            if value.header == self.header:
                yield f"{name}: header must not be the one for the token"


class ExtAuthz(Section):
    """Envoy's external authorization, which adds a token to requests."""

    mappings: dict[Name, ExtAuthzMapping] = Field(
        {}, description="As tables `[ext_authz.mappings.NAME]`; if there are any, the gRPC listeners serve Envoy"
    )
    metadata_namespace: str = Field(
        "envoy.filters.http.jwt_authn", min_length=1, description="Filter whose metadata contain users and tags"
    )
    reuse_max_tokens: int = Field(
        10_000, ge=0, le=10_000_000, description="Tokens that are reused until their refresh_time; 0: none"
    )
