"""Tokens for services without an SDK: which token is wanted, and where Envoy has what it is made of."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from tokend_server.config.fields import CallerPattern, Name, PoolId, Section

#: A field name of HTTP (RFC 9110, section 5.1).
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

#: What belongs to the connection or to the message's framing, and what Envoy lets no filter change.
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
        raise ValueError("must be the name of a header, such as x-user; pseudo-headers as :authority are none")
    return name.lower()


def _settable_header(name: str) -> str:
    if (lower := _header(name)) in _FRAMING:
        raise ValueError(f"must not be {lower}, which Envoy lets no filter set")
    return lower


def _keys(value: object) -> object:
    return value.split(".") if isinstance(value, str) else value


HeaderName = Annotated[str, AfterValidator(_header)]
SettableHeaderName = Annotated[str, AfterValidator(_settable_header)]
#: The keys that lead to a value in nested objects. In a text, dots separate them.
KeyPath = Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_keys), Field(min_length=1)]


class VerifiedValue(Section):
    """Where Envoy has a value that the mesh has verified: in metadata of its filters, or in a header of a proxy's."""

    metadata: KeyPath | None = Field(
        None,
        description="Keys to the value in the metadata of `ext_authz.metadata_namespace`, such as `payload.sub`; "
        "a list where keys have dots",
    )
    header: HeaderName | None = Field(
        None, description="Or the header that has it, with `trusted = true`: whoever sets the header is believed"
    )
    trusted: bool = Field(False, description="Only a trusted proxy can set the header: it removes that of clients")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.metadata is None) == (self.header is None):
            raise ValueError("set one of metadata and header")
        if self.header and not self.trusted:
            raise ValueError(
                "header: any client could name itself by it: have a proxy remove the header of clients and set its "
                "own, and write trusted = true; or use metadata"
            )
        if self.metadata and self.trusted:
            raise ValueError("trusted: is for a header; metadata are Envoy's own")
        return self


class TagValue(VerifiedValue):
    """Where Envoy has the value of a principal tag."""

    optional: bool = Field(False, description="Leave the tag out where there is no value, rather than deny the request")


class WantedTokenSettings(Section):
    """Which token is wanted, but for its user."""

    identity_pool_id: PoolId = Field(description="Id of the pool; its `developer_provider_name` names the user")
    token_duration_seconds: int | None = Field(
        None, ge=1, le=86_400, description="Life of the token; default 900, or what the policy allows if that is less"
    )


class ExtAuthzMapping(WantedTokenSettings):
    """What becomes of the requests of a route that names the mapping."""

    user: VerifiedValue = Field(description="Where Envoy has the developer user")
    principal_tags: dict[Annotated[str, Field(min_length=1, max_length=128)], TagValue] = Field(
        {}, description="Where Envoy has the values of principal tags, by their keys"
    )
    header: SettableHeaderName = Field("authorization", description="Header that the token goes into")
    scheme: Annotated[str, Field(pattern=r"^[A-Za-z]*$", max_length=32)] = Field(
        "Bearer", description='What stands before the token, and a blank; `""`: the token alone'
    )
    failure_mode: Literal["closed", "open"] = Field(
        "closed", description="While tokend fails: `closed` answers 503, `open` lets requests on without the header"
    )
    default_for: list[CallerPattern] = Field(
        [], description="Patterns of callers whose requests have this mapping where their route names none"
    )

    @model_validator(mode="after")
    def _headers_differ(self) -> Self:
        values = {"user": self.user, **{f"principal_tags.{key}": tag for key, tag in self.principal_tags.items()}}
        if same := [name for name, value in values.items() if value.header == self.header]:
            raise ValueError("\n".join(f"{name}: header must not be the one that the token goes into" for name in same))
        return self


class ExtAuthz(Section):
    """Envoy's external authorization, which adds a token to requests."""

    mappings: dict[Name, ExtAuthzMapping] = Field(
        {}, description="As tables `[ext_authz.mappings.NAME]`; with any of them, the gRPC listeners serve Envoy"
    )
    metadata_namespace: str = Field(
        "envoy.filters.http.jwt_authn", min_length=1, description="Filter whose metadata tell users and tags"
    )
    reuse_max_tokens: int = Field(
        10_000, ge=0, le=10_000_000, description="Tokens that are given out again until their refresh_time; 0: none"
    )
