"""The configuration: what tokend.toml and the environment may say, and all that is wrong with it at once.

A setting comes from the environment (`TOKEND_` + section + `_` + name), else from the file, else from its default.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

from platformdirs import user_data_path
from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tokend_server.callers.patterns import matches
from tokend_server.config.access import Audit, CallerLimitSettings, Callers, JwtIssuer, Limits, PolicySettings
from tokend_server.config.addresses import clashes, host_and_port, is_local
from tokend_server.config.environment import PREFIX, SettingsVariables, no_such_setting, unknown_variables
from tokend_server.config.fields import (
    ClockSkew,
    EndpointUrl,
    Name,
    PoolId,
    PositiveSeconds,
    ProviderIssuer,
    Seconds,
    Section,
    TcpAddress,
    provider_issuer,
)
from tokend_server.config.issuer_url import IssuerUrl
from tokend_server.config.listeners import Grpc, Guard, Listener
from tokend_server.config.paths import LocalPath, expanded
from tokend_server.config.stores import SQLITE, StoreUrl
from tokend_server.model import ANONYMOUS

__all__ = [
    "EMBEDDED_DEVELOPER_PROVIDER",
    "EMBEDDED_POOL_ID",
    "Audit",
    "CallerLimitSettings",
    "Callers",
    "Cognito",
    "Config",
    "ConfigError",
    "Grpc",
    "Guard",
    "Issuer",
    "JwtIssuer",
    "Limits",
    "Listener",
    "Log",
    "OpenIdConnectProvider",
    "Ops",
    "PolicySettings",
    "Pool",
    "Section",
    "Store",
    "environment_variables",
    "host_and_port",
    "is_local",
    "load_config",
]

#: The pool that is ready when nothing is configured. Its region is none of AWS's.
EMBEDDED_POOL_ID = "local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"
EMBEDDED_DEVELOPER_PROVIDER = "login.example.internal"

#: Variables with the prefix that are read elsewhere: the path of the file, and the client's endpoint.
_OTHER_VARIABLES = frozenset({"TOKEND_CONFIG", "TOKEND_ENDPOINT"})

#: The beginning of a pool id of Cognito's.
_AWS_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d+:")


class ConfigError(Exception):
    """Raised when the configuration cannot be used.

    Attributes:
        problems: Each problem, as `setting: what is wrong`.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


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


class Store(Section):
    """The local engine's store."""

    url: StoreUrl | None = Field(None, description="sqlite:///PATH; default tokend.db in data_dir")
    migrate_on_start: bool = Field(True, description="Let serve create and upgrade the schema")


class Cognito(Section):
    """Amazon Cognito, behind the pools of `engine = "cognito"`."""

    endpoint_url: EndpointUrl | None = Field(
        None, description="Where Cognito's API is; default AWS's endpoint of each pool's region"
    )
    profile: str | None = Field(
        None, min_length=1, description="Profile of the AWS configuration files; default as boto3 finds credentials"
    )
    role_arn: str | None = Field(
        None,
        pattern=r"^arn:[a-z-]+:iam::\d{12}:role/[\w+=,.@/-]+$",
        description="Role to assume for the calls, and to assume again before it expires",
    )
    timeout_seconds: PositiveSeconds = Field(
        5.0, description="Longest that a call waits for Cognito, retries included, whatever its caller's deadline"
    )
    connect_timeout_seconds: PositiveSeconds = Field(1.0, description="Longest that a connection takes")
    max_attempts: int = Field(3, ge=1, le=10, description="Requests for one call; 1 retries nothing")
    requests_per_second: float = Field(
        40.0,
        ge=0,
        le=100_000,
        allow_inf_nan=False,
        description="Requests for an operation in a region, retries included, above which calls are refused; 0: none",
    )
    burst: int = Field(
        10,
        ge=1,
        le=100_000,
        description="Requests that may come at once after a pause; with the rate at most the quota",
    )
    max_calls: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Calls that may wait for a region; default all threads or, beside others, part of three quarters",
    )
    single_flight: bool = Field(True, description="Let identical calls in flight share one")
    reuse_tokens: bool = Field(
        False, description="Answer an identical request with the last token until its refresh_time"
    )
    reuse_max_tokens: int = Field(10_000, ge=1, le=10_000_000, description="Tokens that are kept for each pool")
    serve_stale: bool = Field(
        False, description="With reuse_tokens: past its refresh_time too, while Cognito fails or throttles"
    )
    stale_margin_seconds: Seconds = Field(60.0, description="Time before its expire_time from when it is not")

    @model_validator(mode="after")
    def _stale_tokens_are_kept(self) -> Self:
        if self.serve_stale and not self.reuse_tokens:
            raise ValueError("serve_stale needs reuse_tokens = true")
        return self


class Log(Section):
    """The service's log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least severity that is written"
    )
    format: Literal["json", "text"] = Field("json", description="One JSON object a line, or text for people")


class OpenIdConnectProvider(Section):
    """A public login provider of a pool."""

    client_ids: list[str] = Field(min_length=1, description="Accepted `aud` or `azp` values")
    issuer: ProviderIssuer | None = Field(None, description="The provider's issuer; default https:// + its name")
    clock_skew_seconds: ClockSkew = Field(
        300.0, description="Grace for `exp`, `nbf` and `iat` of its ID tokens: how far clocks may differ"
    )


class Pool(Section):
    """An identity pool."""

    engine: Literal["local", "cognito"] = Field("local", description="What stands behind the pool")
    developer_provider_name: str = Field(
        max_length=128,
        pattern=r"^[A-Za-z0-9_.-]+$",
        description="The Logins key under which your backends name their users",
    )
    signing_algorithm: Literal["RS512", "RS256", "ES256"] = Field(
        "RS512", description="Local engine: JWS algorithm of its tokens"
    )
    token_type: Literal["JWS", "JWT"] = Field(
        "JWS", description="Local engine: `typ` of its tokens: `JWS` as Cognito's, or `JWT`, as some verifiers demand"
    )
    account_id: str = Field(
        "000000000000", pattern=r"^\d{12}$", description="Local engine: AWS account in the ARNs of its tokens"
    )
    identity_pool_arn_claim: bool | None = Field(
        None,
        description="Local engine: put the pool's ARN into its tokens; default as Cognito: everywhere but in us-east-1",
    )
    open_id_connect_providers: dict[str, OpenIdConnectProvider] = Field(
        {},
        description="Local engine: public providers by Logins key: `client_ids` and, if not https:// + key, `issuer`",
    )

    @model_validator(mode="after")
    def _providers_are_distinct(self) -> Self:
        if self.developer_provider_name in self.open_id_connect_providers:
            raise ValueError("developer_provider_name must not be one of open_id_connect_providers")
        return self

    @model_validator(mode="after")
    def _names_lead_to_issuers(self) -> Self:
        for number, (name, provider) in enumerate(self.open_id_connect_providers.items(), start=1):
            try:
                provider_issuer(provider.issuer or f"https://{name}")
            except ValueError as error:
                raise ValueError(f"open_id_connect_providers: https:// + name {number} {error}") from None
        return self


#: Where the user has no data directory.
_NO_HOME = Path(os.devnull)


def _default_data_dir() -> Path:
    try:
        return user_data_path("tokend")
    except RuntimeError:  # no home directory, as where a container runs under an unknown user id
        return _NO_HOME


def _embedded_pools() -> dict[str, Pool]:
    return {EMBEDDED_POOL_ID: Pool(developer_provider_name=EMBEDDED_DEVELOPER_PROVIDER)}


class Config(BaseSettings):
    """Everything that can be set. The defaults are the embedded default: loopback only, one ready pool."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        nested_model_default_partial_update=True,
    )

    data_dir: LocalPath = Field(
        default_factory=_default_data_dir,
        description="Directory of the embedded default's database; default: the user's data directory",
    )
    grpc: Grpc = Grpc()
    issuer: Issuer = Issuer()
    ops: Ops = Ops()
    store: Store = Store()
    cognito: Cognito = Cognito()
    callers: Callers = Callers()
    policy: dict[Name, PolicySettings] = Field({})
    limits: Limits = Limits()
    audit: Audit = Audit()
    log: Log = Log()
    pools: dict[PoolId, Pool] = Field(default_factory=_embedded_pools, min_length=1)

    @model_validator(mode="after")
    def _parts_fit_each_other(self) -> Self:
        problems = [
            *self._region_problems(),
            *self._address_problems(),
            *self._store_problems(),
            *self._listener_problems(),
            *self._policy_problems(),
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _region_problems(self) -> Iterator[str]:
        if odd := [pool_id for pool_id in self.pools_of("cognito") if not _AWS_REGION.match(pool_id)]:
            yield f"pools: the ids of Cognito's pools begin with an AWS region, unlike {', '.join(odd)}"

    def _address_problems(self) -> Iterator[str]:
        listeners = [("grpc.listen", address) for address in self.grpc.listen]
        if self.pools_of("local"):
            listeners.append(("issuer.listen", self.issuer.listen))
        yield from clashes([*listeners, ("ops.listen", self.ops.listen)])

    def _store_problems(self) -> Iterator[str]:
        if self.pools_of("local") and not self.store.url and self.data_dir == _NO_HOME:
            yield "data_dir: there is no home directory to have it in: set data_dir, or HOME"

    def _listener_problems(self) -> Iterator[str]:
        used = {name for listener in self.grpc.guarded for name in listener.identify_by}
        if "jwt" in used and not self.callers.jwt:
            yield "grpc.identify_by: jwt needs an issuer, as [callers.jwt.NAME]"
        if "bearer_key" in used and not self.callers.keys:
            yield "grpc.identify_by: bearer_key needs a key in [callers.keys]"
        if used and not self.policy:
            yield "policy: identified callers need a policy; declare at least one row, as [policy.NAME]"
        if self.grpc.insecure:
            return
        for listener in self.grpc.guarded:
            wants = {
                "TLS (tls_certificate_file, tls_private_key_file)": not listener.tls_certificate_file,
                "an authenticator (identify_by)": not listener.identify_by,
                "a policy ([policy.NAME])": not self.policy,
            }
            missing = [want for want, is_missing in wants.items() if is_missing]
            if missing and not listener.is_local:
                yield (
                    f"grpc: others can reach {listener.address}: configure {', '.join(missing)}, "
                    "listen on a loopback address or a unix socket, or write insecure = true"
                )

    def _policy_problems(self) -> Iterator[str]:
        for name, row in self.policy.items():
            if strangers := sorted(set(row.pools) - self.pools.keys() - {"*"}):
                yield f"policy.{name}.pools: no such pool: {', '.join(strangers)}"
        patterns = [pattern for row in self.policy.values() for pattern in row.callers]
        if self.policy and not any(matches(pattern, ANONYMOUS) for pattern in patterns):
            for listener in self.grpc.guarded:
                if not listener.identify_by:
                    yield (
                        f"policy: every call to {listener.address} would be refused: set identify_by there, "
                        f'or name "{ANONYMOUS}" in a row'
                    )

    def pools_of(self, engine: str) -> Mapping[str, Pool]:
        """The pools behind which an engine stands."""
        return {identity_pool_id: pool for identity_pool_id, pool in self.pools.items() if pool.engine == engine}

    @property
    def store_url(self) -> str:
        """Where the store is."""
        return self.store.url or f"{SQLITE}{self.data_dir / 'tokend.db'}"

    @property
    def store_name(self) -> str:
        """The store as operators know it: the path of a SQLite database, the URL of another."""
        return self.store_url.removeprefix(SQLITE)

    @property
    def store_file(self) -> Path:
        """The SQLite database.

        Raises:
            ConfigError: The store is of another kind.
        """
        if self.store_name == self.store_url:
            raise ConfigError(["store.url: names no SQLite database"])
        return Path(self.store_name)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # What is handed in comes from the file, and the environment goes before the file.
        del env_settings, dotenv_settings, file_secret_settings
        return SettingsVariables(settings_cls, environment_variables().keys()), init_settings


def load_config(path: Path | None) -> Config:
    """Reads the file, if one is named, and the environment.

    Raises:
        ConfigError: Anything in them is wrong.
    """
    file: dict[str, Any] = {}
    problems: list[str] = []
    try:
        file = _read(path) if path else {}
    except ConfigError as error:
        problems += error.problems
    if path is not None and not problems and "pools" not in file and "TOKEND_POOLS" not in os.environ:
        problems.append('pools: declare at least one pool, as [pools."REGION:GUID"]')
    problems += unknown_variables(os.environ, environment_variables().keys() | _OTHER_VARIABLES)
    try:
        config = Config(**file)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            problems += _problems(details)
    if problems:
        raise ConfigError(problems)
    return config


def environment_variables() -> Mapping[str, tuple[str, str]]:
    """The variable of every scalar setting, with its section (empty for the top level) and its name."""
    return MappingProxyType(
        {f"{PREFIX}{f'{section}_{name}' if section else name}".upper(): (section, name) for section, name in _scalars()}
    )


def _scalars() -> Iterator[tuple[str, str]]:
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from ((name, inner) for inner in field.annotation.model_fields)
        else:
            yield "", name


def _read(path: Path) -> dict[str, Any]:
    """Reads a file.

    Raises:
        ConfigError: It cannot be read, or is no TOML.
    """
    try:
        # Editors may put a byte-order mark before UTF-8.
        return tomllib.loads(Path(expanded(str(path))).read_text(encoding="utf-8-sig"))
    except OSError as error:
        problem = error.strerror
    except UnicodeDecodeError as error:
        problem = f"can't decode byte {error.start + 1} as UTF-8: save the file in that encoding"
    except ValueError as error:  # tomllib.TOMLDecodeError, or a number that is too long to be one
        problem = str(error)
    except RecursionError:
        problem = "values are nested too deep"
    raise ConfigError([f"{path}: {problem}"])


def _problems(details: ErrorDetails) -> Iterator[str]:
    """The problems that pydantic tells of a setting; what concerns several settings has a line for each problem."""
    setting = ".".join(map(str, details["loc"]))
    message = details["msg"]
    if details["type"] == "extra_forbidden":
        names = {".".join(filter(None, names)) for names in environment_variables().values()}
        message = no_such_setting(setting, names)
    elif details["type"] in {"dict_type", "model_type"}:
        message = "must be a table; in a variable, as JSON"
    for problem in message.removeprefix("Value error, ").split("\n"):
        yield f"{setting}: {problem}" if setting else problem
