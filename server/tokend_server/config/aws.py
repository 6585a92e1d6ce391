"""The listener of Cognito's own API."""

from typing import Self

from pydantic import Field, model_validator

from tokend_server.config.fields import Section, TcpAddress
from tokend_server.config.listeners import Listener
from tokend_server.config.paths import LocalPath


class Aws(Section):
    """The HTTP listener of Cognito's own API, for clients that are AWS's SDKs."""

    listen: TcpAddress | None = Field(None, description="HOST:PORT; none: not served")
    tls_certificate_file: LocalPath | None = Field(None, description="PEM certificate chain; turns TLS on")
    tls_private_key_file: LocalPath | None = Field(None, description="PEM private key of the certificate")
    tls_client_ca_file: LocalPath | None = Field(
        None, description="PEM certificates of the authorities whose clients may connect; no other client may"
    )
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
        if self.listen is None:
            return None
        return Listener(
            address=self.listen,
            tls_certificate_file=self.tls_certificate_file,
            tls_private_key_file=self.tls_private_key_file,
            tls_client_ca_file=self.tls_client_ca_file,
        )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if listener := self.guarded:
            problems = [*listener.problems()]
            if not (listener.is_local or listener.tls_certificate_file or self.insecure):
                problems.append(
                    f"listen: others can reach {self.listen}: configure TLS (tls_certificate_file, "
                    "tls_private_key_file), listen on a loopback address, or write insecure = true"
                )
            if problems:
                raise ValueError("\n".join(problems))
        return self
