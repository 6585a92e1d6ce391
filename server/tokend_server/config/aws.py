"""The listener of Cognito's own API."""

from typing import Self

from pydantic import Field, model_validator

from tokend_server.config.fields import Section, TcpAddress
from tokend_server.config.listeners import Listener


class Aws(Section):
    """The HTTP listener of Cognito's own API, for clients that are AWS's SDKs."""

    listen: TcpAddress | None = Field(None, description="HOST:PORT; none: not served")
    insecure: bool = Field(False, description="Allow an address that others can reach without TLS")
    threads: int = Field(16, ge=1, le=1024, description="Calls that are worked on at once")
    max_connections: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="Most connections; one more takes the place of the one that has got nothing for longest",
    )

    @property
    def guarded(self) -> Listener | None:
        """The address with what guards it; None where nothing is served."""
        return Listener(address=self.listen) if self.listen else None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        listener = self.guarded
        if listener and not (listener.is_local or self.insecure):
            raise ValueError(
                f"listen: others can reach {self.listen}: listen on a loopback address, or write insecure = true"
            )
        return self
