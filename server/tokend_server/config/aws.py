"""The listener of Cognito's own API."""

from collections.abc import Iterator
from typing import Final, Literal

from pydantic import Field

from tokend_server.config.aws_client import Region
from tokend_server.config.fields import (
    EndpointUrl,
    PositiveSeconds,
    Section,
    TcpAddress,
)
from tokend_server.config.listeners import Listener, TlsSettings
from tokend_server.config.pools import OpenIdConnectProvider, issuer_name_problems


class AwsCredentials(Section):
    """The temporary AWS credentials that `GetCredentialsForIdentity` returns to users' own devices."""

    source: Literal["sts", "static"] | None = Field(
        None,
        description="`sts`: from AWS STS, for tokend's tokens; `static`: fake ones for tests; none: no credentials",
    )
    static_for_others: bool = Field(False, description="Allow `static` on an address that others can reach")
    region: Region | None = Field(None, description="Region of STS; default that of each pool")
    endpoint_url: EndpointUrl | None = Field(None, description="URL of STS; default AWS's endpoint of the region")
    timeout_seconds: PositiveSeconds = Field(5.0, description="Timeout of calls to STS, including retries")
    connect_timeout_seconds: PositiveSeconds = Field(1.0, description="Timeout of connections")
    max_attempts: int = Field(3, ge=1, le=10, description="Maximum of requests for a call; 1: no retries")

    @property
    def profile(self) -> None:
        """None: STS requires no credentials of the service's own."""

    @property
    def role_arn(self) -> None:
        """None, as `profile`."""


class DeclaredProvider(OpenIdConnectProvider):
    """A login provider of managed pools, as it would be declared in IAM."""

    client_ids: list[str] = Field(
        [], description="Accepted `aud` or `azp` values if a pool refers to the provider by its ARN"
    )


#: A provider that is not in the configuration.
_UNDECLARED = DeclaredProvider()

#: The signing algorithm of managed pools, which is Cognito's.
ALGORITHM_OF_MANAGED_POOLS: Final = "RS512"


class Aws(TlsSettings):
    """The HTTP listener of Cognito's own API, for clients that are AWS's SDKs."""

    listen: TcpAddress | None = Field(None, description="HOST:PORT; none: the API is not served")
    insecure: bool = Field(False, description="Allow an address that others can reach without TLS")
    threads: int = Field(16, ge=1, le=1024, description="Threads that work on calls")
    max_connections: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="Maximum of connections; a further one replaces the longest idle one",
    )

    manage_pools: bool = Field(
        False, description="Let callers create, change and delete pools in the store, in addition to those in `pools`"
    )
    account_id: str = Field(
        "000000000000",
        pattern=r"^[0-9]{12}$",
        description="AWS account in the ARNs of managed pools, and in their tokens",
    )
    open_id_connect_providers: dict[str, DeclaredProvider] = Field(
        {},
        description="Login providers of managed pools by Logins key, as in IAM: `client_ids` of providers to which "
        "pools refer by ARN and, if not https:// + key, `issuer`",
    )
    credentials: AwsCredentials = AwsCredentials()

    @property
    def listener(self) -> Listener | None:
        """The address with its access settings; None if the API is not served."""
        if self.listen is None:
            return None
        return Listener(address=self.listen, **{name: getattr(self, name) for name in TlsSettings.model_fields})

    def declared_provider(self, name: str) -> DeclaredProvider:
        """Returns the settings of a login provider of managed pools."""
        return self.open_id_connect_providers.get(name, _UNDECLARED)

    def _own_problems(self) -> Iterator[str]:
        yield from issuer_name_problems(self.open_id_connect_providers)
        listener = self.listener
        if listener is None:
            return
        yield from listener.problems()
        if not (listener.is_local or listener.tls_certificate_file or self.insecure):
            yield (
                f"listen: others can reach {self.listen}: configure TLS (tls_certificate_file, "
                "tls_private_key_file), listen on a loopback address, or write insecure = true"
            )
        credentials = self.credentials
        if credentials.source == "static" and not (listener.is_local or credentials.static_for_others):
            yield (
                f"credentials.source: others can reach {self.listen}, and would mistake fake credentials for AWS's: "
                "listen on a loopback address, or write static_for_others = true"
            )
