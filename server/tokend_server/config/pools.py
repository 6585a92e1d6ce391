"""The settings of identity pools, the local engine's store, and Cognito."""

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import Field

from tokend_server.config.aws_client import AwsClientSettings, Region, RoleArn
from tokend_server.config.fields import (
    ClockSkew,
    Name,
    PositiveSeconds,
    ProviderIssuer,
    Seconds,
    Section,
    provider_issuer,
)
from tokend_server.config.paths import LocalPath
from tokend_server.config.stores import SQLITE, StoreUrl, kind_of

#: The predefined pool without a configuration. Its region is not one of AWS's.
EMBEDDED_POOL_ID = "local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"
EMBEDDED_DEVELOPER_PROVIDER = "login.example.internal"

#: The settings in [store] that every kind of store has.
_OF_EVERY_STORE = frozenset({"url", "migrate_on_start"})


class Store(Section):
    """The local engine's store."""

    url: StoreUrl | None = Field(
        None,
        repr=False,
        description="sqlite:///PATH, postgresql://USER@HOST/DATABASE in libpq's format, or "
        "dynamodb://TABLE?region=REGION; default tokend.db in data_dir",
    )
    migrate_on_start: bool = Field(True, description="Let serve create and upgrade the schema")
    password_file: LocalPath | None = Field(
        None, description="PostgreSQL: file with the password, read for each new connection"
    )
    rds_iam_region: Region | None = Field(
        None, description="PostgreSQL on Amazon RDS: region whose IAM signs the password of each new connection"
    )
    database_schema: str | None = Field(
        None,
        max_length=63,
        pattern=r"^[a-z_][a-z0-9_]*$",
        description="PostgreSQL: schema of the tables; default the first of the role's search_path",
    )
    max_connections: int | None = Field(
        None,
        ge=2,
        le=1028,
        description="PostgreSQL: maximum of connections; default grpc.threads + sds.threads if secrets are served + 4 "
        "for other work",
    )
    timeout_seconds: PositiveSeconds = Field(
        5.0, description="PostgreSQL: timeout of the store, whatever the caller's deadline"
    )

    def _own_problems(self) -> Iterator[str]:
        kind = kind_of(self.url or SQLITE)
        given = {name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default}
        if others := given.difference(kind.settings, _OF_EVERY_STORE):
            yield f"{', '.join(sorted(others))}: not for the kind of store in url"
        elif self.password_file and self.rds_iam_region:
            yield "password_file and rds_iam_region are two passwords: set one of them"


class Cognito(AwsClientSettings):
    """Amazon Cognito, behind the pools of `engine = "cognito"`."""

    requests_per_second: float = Field(
        40.0,
        ge=0,
        le=100_000,
        allow_inf_nan=False,
        description="Maximum of requests a second for an operation in a region, including retries; 0: no limit",
    )
    burst: int = Field(
        10,
        ge=1,
        le=100_000,
        description="Burst of requests after a pause; together with the rate at most the quota",
    )
    max_calls: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Maximum of calls that wait for a region; default all threads or, with other pools, a share of "
        "three quarters",
    )
    single_flight: bool = Field(True, description="Let identical calls in flight share one request")
    reuse_tokens: bool = Field(
        False, description="Reuse the last token for an identical request until its refresh_time"
    )
    reuse_max_tokens: int = Field(10_000, ge=1, le=10_000_000, description="Cached tokens of each pool")
    serve_stale: bool = Field(
        False, description="With reuse_tokens: also after its refresh_time, while Cognito fails or throttles"
    )
    stale_margin_seconds: Seconds = Field(
        60.0, description="Time before its expire_time from which on it is not reused"
    )

    def _own_problems(self) -> Iterator[str]:
        if self.serve_stale and not self.reuse_tokens:
            yield "serve_stale needs reuse_tokens = true"


class OpenIdConnectProvider(Section):
    """A public login provider of a pool."""

    client_ids: list[str] = Field(min_length=1, description="Accepted `aud` or `azp` values")
    issuer: ProviderIssuer | None = Field(None, description="The provider's issuer; default https:// + its name")
    clock_skew_seconds: ClockSkew = Field(
        300.0, description="Tolerance for `exp`, `nbf` and `iat` of its ID tokens: how far clocks may differ"
    )


def issuer_name_problems(providers: Mapping[str, OpenIdConnectProvider]) -> Iterator[str]:
    """Yields the problems of providers' names from which no issuer can be derived."""
    for number, (name, provider) in enumerate(providers.items(), start=1):
        try:
            provider_issuer(provider.issuer or f"https://{name}")
        except ValueError as error:
            yield f"open_id_connect_providers: https:// + name {number} {error}"


class RoleRule(Section):
    """A rule that assigns another IAM role to some users of a pool."""

    claim: str = Field(
        min_length=1,
        description="A claim of tokend's token, such as `sub`, or of the ID token from a device, or "
        "`aws:RequestTag/` and a principal tag",
    )
    match: Literal["Equals", "Contains", "StartsWith", "NotEqual"] = Field(description="Comparison of the claim")
    value: str = Field(min_length=1, max_length=128, description="Value to compare the claim with")
    role_arn: RoleArn = Field(description="The role of users whose claim matches")


class Roles(Section):
    """The IAM roles for which users' own devices get credentials."""

    authenticated: RoleArn | None = Field(None, description="Role of users; none: no credentials for them")
    unauthenticated: RoleArn | None = Field(None, description="Role of guests; none: no credentials for them")
    ambiguous_role_resolution: Literal["AuthenticatedRole", "Deny"] = Field(
        "AuthenticatedRole", description="Role of users without a matching rule: the role of users, or none"
    )
    rules: list[RoleRule] = Field([], max_length=25, description="Rules for other roles; the first match applies")


class Pool(Section):
    """An identity pool."""

    engine: Literal["local", "cognito"] = Field("local", description="Engine of the pool")
    developer_provider_name: Name = Field(description="Logins key for the users of your backends")
    name: str | None = Field(
        None,
        max_length=128,
        pattern=r"^[A-Za-z0-9_ \t\n\v\f\r+=,.@-]+$",
        description="Its name in Cognito's own API, `aws.listen`; default its `developer_provider_name`",
    )
    signing_algorithm: Literal["RS512", "RS256", "ES256"] = Field(
        "RS512", description="Local engine: JWS algorithm of its tokens"
    )
    token_type: Literal["JWS", "JWT"] = Field(
        "JWS", description="Local engine: `typ` of its tokens: `JWS` as Cognito's, or `JWT`, as some verifiers demand"
    )
    account_id: str = Field(
        "000000000000", pattern=r"^[0-9]{12}$", description="Local engine: AWS account in the ARNs of its tokens"
    )
    identity_pool_arn_claim: bool | None = Field(
        None,
        description="Local engine: put the pool's ARN into its tokens; default as Cognito: except in us-east-1",
    )
    allow_unauthenticated_identities: bool = Field(
        False, description="Local engine: let users' own devices create guests, through `aws.listen`"
    )
    allow_classic_flow: bool = Field(
        False, description="Local engine: let users' own devices get tokens by GetOpenIdToken, through `aws.listen`"
    )
    roles: Roles = Field(Roles(), description="Local engine: IAM roles for `aws.credentials`")
    open_id_connect_providers: dict[str, OpenIdConnectProvider] = Field(
        {},
        description="Local engine: public providers by Logins key: `client_ids` and, if not https:// + key, `issuer`",
    )

    def _own_problems(self) -> Iterator[str]:
        yield from issuer_name_problems(self.open_id_connect_providers)
        if self.developer_provider_name in self.open_id_connect_providers:
            yield "developer_provider_name must not be one of open_id_connect_providers"
