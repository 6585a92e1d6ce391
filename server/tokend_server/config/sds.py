"""The settings of secrets for Envoy: the secrets, and the listeners that serve them."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from tokend_server.config.fields import Addresses, Name
from tokend_server.config.listeners import AddressGuard, Listener
from tokend_server.config.mesh import WantedTokenSettings


class SdsToken(WantedTokenSettings):
    """A token that is served as a secret."""

    user: str | None = Field(
        None,
        min_length=1,
        max_length=1024,
        description="The developer user, the same for every caller; default: each caller's own name",
    )
    principal_tags: dict[Annotated[str, Field(min_length=1, max_length=128)], Annotated[str, Field(max_length=256)]] = (
        Field({}, max_length=50, description="Principal tags of the token")
    )


class Sds(AddressGuard):
    """The listeners of Envoy's secret discovery service."""

    listen: Addresses = Field(
        [], description="Addresses, HOST:PORT or unix:PATH; comma-separated in the environment; none: not served"
    )
    insecure: bool = Field(
        False, description="Allow addresses that others can reach without TLS, identified callers or a policy"
    )
    tokens: dict[Name, SdsToken] = Field(
        {}, description="As tables `[sds.tokens.NAME]`: the secrets that are tokens, by the names that Envoy requests"
    )
    key_set: Name | None = Field(
        None, description="The name of the secret with the public keys of local pools, a JWK Set"
    )
    threads: int = Field(4, ge=1, le=64, description="Threads that issue tokens and identify callers")
    max_streams: int = Field(
        20_000,
        ge=1,
        le=1_000_000,
        description="Concurrent streams above which callers that use their share get no more",
    )
    max_streams_of_caller: int | None = Field(
        None, ge=1, le=1_000_000, description="Maximum of concurrent streams of one caller; default `sds.max_streams`"
    )
    max_connections: int = Field(
        5000,
        ge=1,
        le=1_000_000,
        description="Maximum of connections to an address; an eighth is reserved for new clients",
    )
    max_connection_age_seconds: int = Field(
        3600,
        ge=1,
        le=86_400,
        description="Age at which a connection is closed gracefully, at the latest 10 seconds later",
    )

    @property
    def all_listeners(self) -> Sequence[Listener]:
        """All addresses with their access settings."""
        common = {name: getattr(self, name) for name in AddressGuard.model_fields}
        return [Listener(address=address, **common) for address in self.listen]

    def _own_problems(self) -> Iterator[str]:
        for listener in self.all_listeners:
            yield from listener.problems()
        has_secrets = bool(self.tokens or self.key_set)
        if self.listen and not has_secrets:
            yield "listen: there is nothing to serve: declare a token, as [sds.tokens.NAME], or set key_set"
        if has_secrets and not self.listen:
            yield "listen: names no address, so the secrets would not be served"
        if self.key_set in self.tokens:
            yield f"key_set: {self.key_set} is the name of a token"
        if self.listen and not self.identify_by:
            for name, token in self.tokens.items():
                if token.user is None:
                    yield f"tokens.{name}.user: is needed if callers are not identified (identify_by)"
