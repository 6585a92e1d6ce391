"""The settings of callers, the policy, limits and the audit log."""

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from tokend_server.config.fields import (
    AccessKeyId,
    AuditDestination,
    CallerPattern,
    ClockSkew,
    KeyDigest,
    Name,
    PoolId,
    ProviderIssuer,
    Section,
)
from tokend_server.config.paths import LocalPath
from tokend_server.model import CognitoOperation, Operation, StsOperation

Algorithm: TypeAlias = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
_Rate = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
_Calls = Annotated[int, Field(ge=1, le=1_000_000)]
_Burst = Annotated[int, Field(ge=1, le=10_000_000)]


class JwtIssuer(Section):
    """An issuer of the JWTs that callers present, such as a Kubernetes cluster."""

    issuer: ProviderIssuer = Field(description="The exact `iss` of its tokens")
    audiences: list[Annotated[str, Field(min_length=1)]] = Field(
        min_length=1, description="Accepted `aud` values: names of this service, at least one"
    )
    algorithms: list[Algorithm] = Field(min_length=1, description="Accepted `alg` values")
    jwks_url: ProviderIssuer | None = Field(None, description="URL of its keys; default by discovery at the issuer")
    ca_file: LocalPath | None = Field(None, description="PEM certificates of the authorities that its https may use")
    bearer_token_file: LocalPath | None = Field(
        None, description="File with the bearer token that its discovery requires, read for every fetch"
    )
    clock_skew_seconds: ClockSkew = Field(
        60.0, description="Tolerance for `exp`, `nbf` and `iat`: how far clocks may differ"
    )


class Callers(Section):
    """The callers' keys and the issuers of their tokens."""

    keys: dict[Name, Annotated[list[KeyDigest], Field(min_length=1)]] = Field(
        {}, description="Digests of a caller's keys by its name, several during a rotation: `sha256:HEX`"
    )
    aws_keys: dict[Name, Annotated[list[AccessKeyId], Field(min_length=1)]] = Field(
        {}, description="Ids of a caller's access keys for `aws.listen` by its name, several during a rotation"
    )
    aws_key_file: LocalPath | None = Field(
        None,
        description="File with 32 random bytes, or these as 64 hexadecimal digits or in base64, from which the secrets "
        "of `callers.aws_keys` are derived",
    )
    jwt: dict[Name, JwtIssuer] = Field({}, description="Issuers of callers' JWTs, by a name of your choice")
    max_token_bytes: int = Field(
        8192, ge=1024, le=2**20, description="Longest JWT of a caller; `grpc.max_metadata_bytes` must allow it too"
    )

    def _own_problems(self) -> Iterator[str]:
        ids = Counter(access_key_id for each in self.aws_keys.values() for access_key_id in each)
        yield from (f"aws_keys: {each} occurs {count} times" for each, count in ids.items() if count > 1)
        if self.aws_keys and not self.aws_key_file:
            yield "aws_key_file: is needed for aws_keys, whose secrets are derived from it"


class PolicySettings(Section):
    """A row of the policy: what some callers may do."""

    callers: list[CallerPattern] = Field(
        min_length=1, description="Patterns of callers' names; `*` stops at `/` and `:`, `**` does not"
    )
    pools: list[PoolId | Literal["*"]] = Field(min_length=1, description='Ids of pools, or `["*"]` for all')
    operations: list[Operation | CognitoOperation | StsOperation | Literal["*"]] = Field(
        min_length=1, description='Operations, or `["*"]` for all'
    )
    max_token_duration_seconds: int = Field(
        900, ge=1, le=86_400, description="Longest `token_duration`; also what a request without one gets, if below 900"
    )
    principal_tag_keys: list[str] = Field([], description='Keys of principal tags that may be set, or `["*"]` for any')


class CallerLimitSettings(Section):
    """Limits for each of the callers that match a pattern."""

    calls_per_second: _Rate | None = Field(None, description="As `limits.calls_per_second`")
    calls_burst: _Burst | None = Field(None, description="As `limits.calls_burst`")
    new_identities_per_second: _Rate | None = Field(None, description="As `limits.new_identities_per_second`")
    new_identities_burst: _Burst | None = Field(None, description="As `limits.new_identities_burst`")
    concurrent_calls_of_caller: _Calls | None = Field(None, description="As `limits.concurrent_calls_of_caller`")


class Limits(Section):
    """The limits of callers. Rates apply to each identified caller only."""

    concurrent_calls: _Calls = Field(512, description="Maximum of concurrent calls, including waiting ones")
    concurrent_calls_of_caller: _Calls | None = Field(
        None, description="Maximum of concurrent calls of an identified caller; default twice `grpc.threads`"
    )
    calls_per_second: _Rate = Field(200.0, description="Calls a second of an identified caller; 0: no limit")
    calls_burst: _Burst = Field(400, description="Burst of calls after a pause")
    new_identities_per_second: _Rate = Field(
        50.0, description="Local engine: identities that an identified caller may create a second; 0: no limit"
    )
    new_identities_burst: _Burst = Field(500, description="Burst of new identities after a pause")
    replicas: int = Field(
        1,
        ge=1,
        le=1000,
        description="Number of servers that share the calls: each admits its share of rates and bursts",
    )
    callers: dict[CallerPattern, CallerLimitSettings] = Field(
        {}, description="Other limits for callers that match a pattern; the first match applies"
    )


class Audit(Section):
    """The audit log: one JSON object a line for every decision about a call."""

    destination: AuditDestination = Field("none", description="`none`, `stdout` or `file:/PATH`")
    required: bool = Field(
        False,
        description="Answer calls only after their lines are written, fail calls whose lines cannot be written, and "
        "record changes before they are made",
    )
