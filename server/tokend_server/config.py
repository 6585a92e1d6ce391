"""The configuration: what tokend.toml and the environment may say, and all that is wrong with it at once.

A setting comes from the environment (`TOKEND_` + section + `_` + name), else from the file, else from its default.
"""

import ipaddress
import os
import re
import ssl
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

ENVIRONMENT_PREFIX = "TOKEND_"

#: The pool that is ready when nothing is configured. Its region is none of AWS's.
EMBEDDED_POOL_ID = "local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"
EMBEDDED_DEVELOPER_PROVIDER = "login.example.internal"

#: Variables with the prefix that are read elsewhere: the path of the file, and the client's endpoint.
_OTHER_VARIABLES = frozenset({"TOKEND_CONFIG", "TOKEND_ENDPOINT"})

_SQLITE = "sqlite:///"

#: A host name, an IPv4 address, or an IPv6 address without its brackets.
_HOST = r"[A-Za-z0-9_.:-]+"

#: The beginning of a pool id of Cognito's.
_AWS_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d+:")

#: The most that gRPC holds in a number of its settings.
_MOST = 2**31 - 1


class ConfigError(Exception):
    """Raised when the configuration cannot be used.

    Attributes:
        problems: Each problem, as `setting: what is wrong`.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def host_and_port(address: str) -> tuple[str, int]:
    """Splits `host:port`, with an IPv6 host in brackets.

    Raises:
        ValueError: It is not of that form.
    """
    parts = urlsplit(f"//{address}")
    if not parts.hostname or parts.port is None or parts.netloc != address or parts.username is not None:
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080")
    return parts.hostname, parts.port


def is_loopback(host: str) -> bool:
    """Tells whether only this machine can reach a host name or address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_local(address: str) -> bool:
    """Tells whether only this machine can reach a listening address: a unix socket, or a loopback host."""
    return address.startswith("unix:") or is_loopback(host_and_port(address)[0])


def _tcp_address(address: str) -> str:
    host_and_port(address)
    return address


def _grpc_address(address: str) -> str:
    if address == "unix:":
        raise ValueError("must name the socket, such as unix:/run/tokend.sock")
    return address if address.startswith("unix:") else _tcp_address(address)


def _split_commas(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _provider_issuer(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"https", "http"} or not re.fullmatch(_HOST, parts.hostname or ""):
        raise ValueError("must be a URL, such as https://tokens.example.internal")
    if parts.username is not None or parts.port == 0:  # reading the port raises ValueError when it is none
        raise ValueError("must name a host and, where it is not the scheme's own, a port, and no user")
    if parts.query or parts.fragment:
        raise ValueError("must have no query and no fragment")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("must be https, except on a loopback host")
    return url


def _issuer_url(url: str) -> str:
    if url.endswith("/"):
        raise ValueError("must have no slash at its end")
    return _provider_issuer(url)


def _endpoint_url(url: str) -> str:
    return _provider_issuer(url.removesuffix("/"))


def _store_url(url: str) -> str:
    path = url.removeprefix(_SQLITE)
    if path == url or not path or path.startswith(":"):
        raise ValueError("must be sqlite:///PATH, with a file that outlives the process")
    return url


TcpAddress = Annotated[str, AfterValidator(_tcp_address)]
GrpcAddress = Annotated[str, AfterValidator(_grpc_address)]
StoreUrl = Annotated[str, AfterValidator(_store_url)]
IssuerUrl = Annotated[str, AfterValidator(_issuer_url)]
EndpointUrl = Annotated[str, AfterValidator(_endpoint_url)]
ProviderIssuer = Annotated[str, AfterValidator(_provider_issuer)]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
PositiveSeconds = Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)]
PoolId = Annotated[str, Field(max_length=55, pattern=r"^[A-Za-z0-9_-]+:[0-9a-f-]+$")]


class Section(BaseModel):
    """A table of the file: nothing unknown in it, and never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Grpc(Section):
    """The gRPC listener."""

    listen: Annotated[list[GrpcAddress], NoDecode, BeforeValidator(_split_commas)] = Field(
        ["127.0.0.1:50051"],
        min_length=1,
        description="Addresses, HOST:PORT or unix:PATH; comma-separated in the environment",
    )
    threads: int = Field(16, ge=1, le=1024, description="Calls that are worked on at once")
    tls_certificate_file: Path | None = Field(
        None, description="PEM certificate chain; turns TLS on for the TCP addresses"
    )
    tls_private_key_file: Path | None = Field(None, description="PEM private key of the certificate")
    insecure: bool = Field(False, description="Allow addresses that others can reach without TLS")
    reflection: bool = Field(True, description="Serve gRPC reflection")
    max_receive_message_bytes: int = Field(
        2_621_440,
        ge=1024,
        le=_MOST,
        description="Largest request; the default holds every request within the contract's limits",
    )
    max_metadata_bytes: int = Field(
        8192, ge=1024, le=2**20, description="Most metadata of a call, counted as HTTP/2 counts it"
    )
    max_concurrent_streams: int = Field(100, ge=1, le=_MOST, description="Most calls at once on a connection")
    max_connection_age_seconds: int = Field(
        180, ge=1, le=86_400, description="Age at which a connection is asked to end"
    )
    max_connection_age_grace_seconds: int = Field(
        10, ge=1, le=86_400, description="Time that its calls then have to finish"
    )
    drain_delay_seconds: Seconds = Field(5.0, description="On SIGTERM: time to be seen as NOT_SERVING before stopping")
    drain_grace_seconds: Seconds = Field(10.0, description="Then: time that calls in flight have to finish")

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        files = (self.tls_certificate_file, self.tls_private_key_file)
        if (files[0] is None) != (files[1] is None):
            raise ValueError("tls_certificate_file and tls_private_key_file must be given together")
        if files[0] is not None:
            _check_certificate(files[0], files[1])
        return self

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if self.insecure or self.tls_certificate_file:
            return self
        if exposed := [address for address in self.listen if not is_local(address)]:
            raise ValueError(
                f"others can reach {', '.join(exposed)}: configure TLS (tls_certificate_file, tls_private_key_file), "
                "listen on a loopback address or a unix socket, or write insecure = true"
            )
        return self


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
                _provider_issuer(provider.issuer or f"https://{name}")
            except ValueError as error:
                raise ValueError(f"open_id_connect_providers: https:// + name {number} {error}") from None
        return self


def _embedded_pools() -> dict[str, Pool]:
    return {EMBEDDED_POOL_ID: Pool(developer_provider_name=EMBEDDED_DEVELOPER_PROVIDER)}


class Config(BaseSettings):
    """Everything that can be set. The defaults are the embedded default: loopback only, one ready pool."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        nested_model_default_partial_update=True,
    )

    data_dir: Path = Field(
        default_factory=lambda: user_data_path("tokend"),
        description="Directory of the embedded default's database; default: the user's data directory",
    )
    grpc: Grpc = Grpc()
    issuer: Issuer = Issuer()
    ops: Ops = Ops()
    store: Store = Store()
    cognito: Cognito = Cognito()
    log: Log = Log()
    pools: dict[PoolId, Pool] = Field(default_factory=_embedded_pools, min_length=1)

    @model_validator(mode="after")
    def _cognito_has_the_regions(self) -> Self:
        odd = [
            identity_pool_id
            for identity_pool_id, pool in self.pools.items()
            if pool.engine == "cognito" and not _AWS_REGION.match(identity_pool_id)
        ]
        if odd:
            raise ValueError(f"pools: the ids of Cognito's pools begin with an AWS region, unlike {', '.join(odd)}")
        return self

    def pools_of(self, engine: str) -> Mapping[str, Pool]:
        """The pools behind which an engine stands."""
        return {identity_pool_id: pool for identity_pool_id, pool in self.pools.items() if pool.engine == engine}

    @property
    def store_file(self) -> Path:
        """The SQLite database."""
        return Path(self.store.url.removeprefix(_SQLITE)) if self.store.url else self.data_dir / "tokend.db"

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
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings


def load_config(path: Path | None) -> Config:
    """Reads the file, if one is named, and the environment.

    Raises:
        ConfigError: Anything in them is wrong.
    """
    file, problems = _read(path)
    if path is not None and not problems and "pools" not in file and "TOKEND_POOLS" not in os.environ:
        problems.append('pools: declare at least one pool, as [pools."REGION:GUID"]')
    problems += _unknown_variables()
    try:
        config = Config(**file)
    except ValidationError as error:
        problems += [_problem(details["loc"], details["msg"]) for details in error.errors(include_url=False)]
    except SettingsError as error:  # a variable that must be JSON, such as TOKEND_POOLS, is not
        problems.append(f"environment: {error}")
    if problems:
        raise ConfigError(problems)
    return config


def environment_variables() -> Mapping[str, tuple[str, str]]:
    """The variable of every scalar setting, with its section (empty for the top level) and its name."""
    return MappingProxyType(
        {
            f"{ENVIRONMENT_PREFIX}{f'{section}_{name}' if section else name}".upper(): (section, name)
            for section, name in _scalars()
        }
    )


def _scalars() -> Iterator[tuple[str, str]]:
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from ((name, inner) for inner in field.annotation.model_fields)
        else:
            yield "", name


def _read(path: Path | None) -> tuple[dict[str, Any], list[str]]:
    if path is None:
        return {}, []
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), []
    except OSError as error:
        return {}, [f"{path}: {error.strerror}"]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        return {}, [f"{path}: {error}"]


def _unknown_variables() -> list[str]:
    known = environment_variables().keys() | _OTHER_VARIABLES
    given = {name for name in os.environ if name.startswith(ENVIRONMENT_PREFIX)}
    return [f"{name}: there is no such setting" for name in sorted(given - known)]


def _problem(location: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(str(part) for part in location)}: {message.removeprefix('Value error, ')}"


def _check_certificate(certificate: Path, key: Path | None) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        raise ValueError(f"the TLS certificate and key cannot be used: {error}") from error
