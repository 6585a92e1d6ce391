"""The whole configuration: all sections, and conditions between them."""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, Self

from platformdirs import user_data_path
from pydantic import Field, TypeAdapter, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tokend_server.callers.patterns import matches
from tokend_server.config.access import Audit, Callers, Limits, PolicySettings
from tokend_server.config.addresses import address_conflicts
from tokend_server.config.aws import ALGORITHM_OF_MANAGED_POOLS, Aws
from tokend_server.config.environment import PREFIX, SettingsVariables
from tokend_server.config.fields import FILE, Name, PoolId, Section, section_of
from tokend_server.config.keys import Keys
from tokend_server.config.listeners import Grpc, Listener
from tokend_server.config.mesh import ExtAuthz
from tokend_server.config.paths import LocalPath, named_paths
from tokend_server.config.pools import EMBEDDED_DEVELOPER_PROVIDER, EMBEDDED_POOL_ID, Cognito, Pool, Store
from tokend_server.config.sds import Sds
from tokend_server.config.service import Issuer, Log, Ops
from tokend_server.config.stores import SQLITE, kind_of
from tokend_server.errors import ConfigError
from tokend_server.model import ANONYMOUS

#: The prefix of Cognito's pool ids.
_AWS_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d+:")

#: The data directory if the user has none.
_NO_HOME = Path(os.devnull)


def _default_data_dir() -> Path:
    try:
        return user_data_path("tokend")
    except RuntimeError:  # no home directory, as in a container with an unknown user id
        return _NO_HOME


def _embedded_pools() -> dict[str, Pool]:
    return {EMBEDDED_POOL_ID: Pool(developer_provider_name=EMBEDDED_DEVELOPER_PROVIDER)}


class _MissingSectionError(Exception):
    """Raised when a check between sections reads one that is missing."""


class Config(BaseSettings):
    """All settings. The defaults are the embedded default: loopback only, one predefined pool."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        case_sensitive=True,  # as TOML: otherwise one of [policy] and [Policy] would be ignored
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
    keys: Keys = Keys()
    cognito: Cognito = Cognito()
    callers: Callers = Callers()
    policy: dict[Name, PolicySettings] = Field({})
    limits: Limits = Limits()
    audit: Audit = Audit()
    ext_authz: ExtAuthz = ExtAuthz()
    sds: Sds = Sds()
    aws: Aws = Aws()
    log: Log = Log()
    pools: dict[PoolId, Pool] = Field(default_factory=_embedded_pools, min_length=1)

    @model_validator(mode="after")
    def _check_sections(self) -> Self:
        if problems := [*self.cross_section_problems()]:
            raise ValueError("\n".join(problems))
        return self

    def cross_section_problems(self) -> Iterator[str]:
        """Yields the problems between settings. A check that needs a missing section ends there."""
        for problems in (
            self._region_problems(),
            self._address_problems(),
            self._store_problems(),
            self._listener_problems(),
            self._policy_problems(),
            self._secret_problems(),
            self._mapping_problems(),
            self._aws_problems(),
            self._audit_problems(),
        ):
            with suppress(_MissingSectionError):
                yield from problems

    def _region_problems(self) -> Iterator[str]:
        if invalid := [pool_id for pool_id in self.pools_of("cognito") if not _AWS_REGION.match(pool_id)]:
            yield f"pools: ids of Cognito's pools must begin with an AWS region, unlike {', '.join(invalid)}"

    def _address_problems(self) -> Iterator[str]:
        listeners = [("grpc.listen", address) for address in self.grpc.listen]
        listeners += [("sds.listen", address) for address in self.sds.listen]
        listeners += [("aws.listen", self.aws.listen)] if self.aws.listen else []
        if self.pools_of("local"):
            listeners.append(("issuer.listen", self.issuer.listen))
        yield from address_conflicts([*listeners, ("ops.listen", self.ops.listen)])

    def _store_problems(self) -> Iterator[str]:
        is_default = "data_dir" not in self.model_fields_set
        if self.pools_of("local") and not self.store.url and is_default and self.data_dir == _NO_HOME:
            yield "data_dir: there is no home directory for it: set data_dir, or HOME"

    def _listener_problems(self) -> Iterator[str]:
        for section, listeners in self._listeners.items():
            used = {name for listener in listeners for name in listener.identify_by}
            if "jwt" in used and not self.callers.jwt:
                yield f"{section}.identify_by: jwt needs an issuer, as [callers.jwt.NAME]"
            if "bearer_key" in used and not self.callers.keys:
                yield f"{section}.identify_by: bearer_key needs a key in [callers.keys]"
            if used and not self.policy:
                yield "policy: identified callers need a policy; declare at least one row, as [policy.NAME]"
        if not self.grpc.insecure:
            yield from self._exposure_problems("grpc")
        if not self.sds.insecure:
            yield from self._exposure_problems("sds")

    def _exposure_problems(self, section: str) -> Iterator[str]:
        for listener in self._listeners[section]:
            wants = {
                "TLS (tls_certificate_file, tls_private_key_file)": not listener.tls_certificate_file,
                "an authenticator (identify_by)": not listener.identify_by,
                "a policy ([policy.NAME])": not self.policy,
            }
            missing = [want for want, is_missing in wants.items() if is_missing]
            if missing and not listener.is_local:
                yield (
                    f"{section}: others can reach {listener.address}: configure {', '.join(missing)}, "
                    "listen on a loopback address or a unix socket, or write insecure = true"
                )

    def _policy_problems(self) -> Iterator[str]:
        for name, row in self.policy.items():
            if unknown := sorted(set(row.pools) - self.pools.keys() - {"*"}):
                yield f"policy.{name}.pools: no such pool: {', '.join(unknown)}"
        patterns = [pattern for row in self.policy.values() for pattern in row.callers]
        if self.policy and not any(matches(pattern, ANONYMOUS) for pattern in patterns):
            for listener in chain.from_iterable(self._listeners.values()):
                if not listener.identify_by:
                    yield (
                        f"policy: every call to {listener.address} would be refused: set identify_by there, "
                        f'or name "{ANONYMOUS}" in a row'
                    )

    def _mapping_problems(self) -> Iterator[str]:
        for name, mapping in self.ext_authz.mappings.items():
            if mapping.identity_pool_id not in self.pools:
                yield f"ext_authz.mappings.{name}.identity_pool_id: no such pool: {mapping.identity_pool_id}"

    def _secret_problems(self) -> Iterator[str]:
        if self.sds.key_set and not self.pools_of("local"):
            yield "sds.key_set: there is no local pool, so tokend has no keys of its own"
        for name, token in self.sds.tokens.items():
            if token.identity_pool_id not in self.pools:
                yield f"sds.tokens.{name}.identity_pool_id: no such pool: {token.identity_pool_id}"

    def _aws_problems(self) -> Iterator[str]:
        if not self.aws.listen:
            if self.aws.manage_pools:
                yield "aws.manage_pools: pools are managed at aws.listen, which is not set"
            return
        if self.aws.open_id_connect_providers and not self.aws.manage_pools:
            yield (
                "aws.open_id_connect_providers: they are for pools that callers make, and aws.manage_pools is not set"
            )
        if self.aws.manage_pools and not self.pools_of("local"):
            yield "aws.manage_pools: there is no local pool, and so no store for managed pools: declare one"
        if not self.callers.aws_keys:
            yield "aws.listen: every request is signed: declare an access key in [callers.aws_keys]"
        if not self.policy:
            yield "policy: callers of aws.listen need a policy; declare at least one row, as [policy.NAME]"
        credentials = self.aws.credentials
        if credentials.source == "sts" and not (self.issuer.url or credentials.endpoint_url):
            yield "aws.credentials.source: AWS STS fetches the keys of tokens from their issuer: set issuer.url"
        if credentials.source == "sts" and not credentials.region:
            invalid = [pool_id for pool_id in self.pools_of("local") if not _AWS_REGION.match(pool_id)]
            if invalid:
                yield f"aws.credentials.region: is needed for pools of no AWS Region: {', '.join(invalid)}"

    def _audit_problems(self) -> Iterator[str]:
        if not self.audit.destination.startswith(FILE):
            return
        log = os.path.realpath(self.audit.destination.removeprefix(FILE))
        files = [("store.url", self.store_file)] if self.store_url.startswith(SQLITE) else []
        files += [(name, path) for name, path in named_paths(self) if name != "data_dir"]
        yield from (
            f"audit.destination: is the file of {name}, to which lines would be appended"
            for name, path in files
            if os.path.realpath(path) == log
        )

    @property
    def _listeners(self) -> Mapping[str, Sequence[Listener]]:
        return {"grpc": self.grpc.all_listeners, "sds": self.sds.all_listeners}

    def pools_of(self, engine: str) -> Mapping[str, Pool]:
        """Returns the pools of an engine."""
        return {identity_pool_id: pool for identity_pool_id, pool in self.pools.items() if pool.engine == engine}

    @property
    def signing_algorithms(self) -> frozenset[str]:
        """The signing algorithms of local pools, including managed ones."""
        managed = {ALGORITHM_OF_MANAGED_POOLS} if self.aws.manage_pools else set[str]()
        return frozenset(managed | {pool.signing_algorithm for pool in self.pools_of("local").values()})

    @property
    def store_url(self) -> str:
        """The URL of the store."""
        return self.store.url or f"{SQLITE}{self.data_dir / 'tokend.db'}"

    @property
    def store_setting(self) -> str:
        """The setting from which the URL of the store is derived."""
        return "store.url" if self.store.url else "data_dir"

    @property
    def store_kind(self) -> str:
        """The kind of the store: the scheme of its URL."""
        return self.store_url.partition(":")[0]

    @property
    def store_name(self) -> str:
        """The name of the store for operators: the path of a SQLite database, or another URL without its secrets."""
        return kind_of(self.store_url).shown(self.store_url)

    @property
    def store_file(self) -> Path:
        """The SQLite database.

        Raises:
            ConfigError: The store is of another kind.
        """
        if not self.store_url.startswith(SQLITE):
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
        # The arguments are from the file; the environment takes precedence over the file.
        del env_settings, dotenv_settings, file_secret_settings
        return SettingsVariables(settings_cls, environment_variables()), init_settings


class _ValidSections(Config):
    """A configuration without the sections that are invalid by themselves."""

    def __getattr__(self, name: str) -> NoReturn:
        raise _MissingSectionError(name)


def cross_section_problems_without(wrong: Collection[str], file: Mapping[str, Any]) -> list[str]:
    """Returns the problems between the settings outside some sections, which are invalid by themselves.

    Args:
        wrong: The names of these sections.
        file: The content of the file; all of it outside them, and of the environment, is valid.
    """
    if not Config.model_fields.keys() >= set(wrong):  # it is not known which section an unknown name stands for
        return []
    values = _merged(file, SettingsVariables(Config, environment_variables())())
    valid = {
        name: TypeAdapter[Any](Config.model_fields[name].rebuild_annotation()).validate_python(value)
        for name, value in values.items()
        if name not in wrong
    }
    others = _ValidSections.model_construct(**valid)
    for name in wrong:
        del others.__dict__[name]
    return [*others.cross_section_problems()]


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns two tables as one, in which the second goes before the first."""
    tables = {
        name: _merged(one[name], other[name])
        for name in one.keys() & other.keys()
        if isinstance(one[name], dict) and isinstance(other[name], dict)
    }
    return {**one, **other, **tables}


@cache
def environment_variables() -> Mapping[str, tuple[str, str]]:
    """Returns the variable of every scalar setting, with its section (empty for the top level) and its name.

    The name of a setting in a table of a section is the name of the table, a dot, and its own name.
    """
    return MappingProxyType(
        {
            PREFIX + ".".join(filter(None, (section, name))).replace(".", "_").upper(): (section, name)
            for section, name in _scalars()
        }
    )


def _scalars() -> Iterator[tuple[str, str]]:
    for name, field in Config.model_fields.items():
        if section := section_of(field):
            yield from ((name, inner) for inner in _names(section))
        else:
            yield "", name


def _names(section: type[Section]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        table = section_of(field)
        yield from (f"{name}.{inner}" for inner in _names(table)) if table else (name,)
