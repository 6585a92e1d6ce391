"""The settings of the service's HTTP listeners and of its log."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from tokend_server.config.addresses import is_local
from tokend_server.config.fields import Section, TcpAddress
from tokend_server.config.issuer_url import IssuerUrl


class Issuer(Section):
    """The HTTP listener of OpenID Connect discovery and of the public keys."""

    listen: TcpAddress = Field("127.0.0.1:8080", description="HOST:PORT")
    url: IssuerUrl | None = Field(
        None,
        description="The `iss` of local tokens, at which verifiers reach this listener; default http:// + listen",
    )

    def _own_problems(self) -> Iterator[str]:
        if self.url is None and not is_local(self.listen):
            yield "url must be the URL at which verifiers reach the listener, which is not on a loopback address"


class Ops(Section):
    """The HTTP listener of metrics and probes."""

    listen: TcpAddress = Field("127.0.0.1:9090", description="HOST:PORT")
    labelled_pools: int = Field(
        1000,
        ge=0,
        le=1_000_000,
        description='Maximum of pools with separate metrics; further pools share `pool="other"`',
    )
    unready_after_seconds: float = Field(
        10.0, ge=5, le=3600, description="Time without a successful probe of a listener after which tokend is not ready"
    )
    dead_after_seconds: float = Field(
        60.0,
        ge=10,
        le=86_400,
        description="Time without a probe answered by the threads of calls after which tokend is not alive",
    )

    def _own_problems(self) -> Iterator[str]:
        if self.dead_after_seconds < self.unready_after_seconds:
            yield "dead_after_seconds must not be below unready_after_seconds"


class Log(Section):
    """The service's log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Minimum severity")
    format: Literal["json", "text"] = Field("json", description="One JSON object per line, or human-readable text")
