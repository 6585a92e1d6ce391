"""The HTTP listeners of the service, and its log."""

from typing import Literal, Self

from pydantic import Field, model_validator

from tokend_server.config.addresses import is_local
from tokend_server.config.fields import Section, TcpAddress
from tokend_server.config.issuer_url import IssuerUrl


class Issuer(Section):
    """The HTTP listener of OpenID Connect discovery and of the public keys."""

    listen: TcpAddress = Field("127.0.0.1:8080", description="HOST:PORT")
    url: IssuerUrl | None = Field(
        None,
        description="The `iss` of local tokens, under which verifiers reach this listener; default http:// + listen",
    )

    @model_validator(mode="after")
    def _known_to_verifiers(self) -> Self:
        if self.url is None and not is_local(self.listen):
            raise ValueError("url must say how verifiers reach the listener, since it is not on a loopback address")
        return self


class Ops(Section):
    """The HTTP listener of metrics and probes."""

    listen: TcpAddress = Field("127.0.0.1:9090", description="HOST:PORT")
    labelled_pools: int = Field(
        1000, ge=0, le=1_000_000, description='Pools with metrics of their own; those beyond share `pool="other"`'
    )
    unready_after_seconds: float = Field(
        10.0, ge=5, le=3600, description="Not ready when no call of tokend's own to a listener has passed for so long"
    )
    dead_after_seconds: float = Field(
        60.0, ge=10, le=86_400, description="Not alive when the threads of calls have answered none for so long"
    )

    @model_validator(mode="after")
    def _unready_before_dead(self) -> Self:
        if self.dead_after_seconds < self.unready_after_seconds:
            raise ValueError("dead_after_seconds must not be below unready_after_seconds")
        return self


class Log(Section):
    """The service's log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least severity that is written"
    )
    format: Literal["json", "text"] = Field("json", description="One JSON object a line, or text for people")
