import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from prometheus_client import CollectorRegistry
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tokend_server import app
from tokend_server.access.build import caller_problems
from tokend_server.cli.options import FilePath, config_option
from tokend_server.clock import SystemClock
from tokend_server.config import (
    Config,
    ExtAuthzMapping,
    JwtIssuer,
    OpenIdConnectProvider,
    PolicySettings,
    Pool,
    SdsToken,
    Section,
    TagValue,
    load_config,
)
from tokend_server.config.aws import DeclaredProvider
from tokend_server.config.federation import Cloud, checked_federation_rules, federation_problems
from tokend_server.config.fields import section_of
from tokend_server.config.stores import SQLITE
from tokend_server.config.warnings import config_warnings
from tokend_server.errors import ConfigError
from tokend_server.mesh.extra import extra_problems
from tokend_server.metrics import Metrics
from tokend_server.process import descriptors
from tokend_server.tracing.start import tracing_problems

if TYPE_CHECKING:
    from tokend_server.engines.local.keys.keyring import SigningKey


@click.command("check-config")
@config_option
@click.option(
    "--reference", is_flag=True, help="Print all settings with their defaults, as Markdown, and check nothing."
)
@click.option(
    "--online",
    is_flag=True,
    help="Also call Amazon Cognito for its pools, and with --for fetch the issuer's keys; this changes nothing there.",
)
@click.option(
    "--for",
    "clouds",
    multiple=True,
    type=click.Choice([cloud.value for cloud in Cloud]),
    callback=lambda _context, _option, names: [Cloud(name) for name in names],
    help="Also check another cloud's requirements on issuers of tokens; may be given more than once.",
)
@click.option(
    "--issuer-ca-file",
    type=FilePath(exists=True),
    help="With --online and --for: PEM certificates of the authorities to trust instead of the system's.",
)
def check_config(
    config_path: Path | None, *, reference: bool, online: bool, clouds: Sequence[Cloud], issuer_ca_file: Path | None
) -> None:
    """Check the configuration, and report all its problems, and probable mistakes as warnings."""
    if reference:
        click.echo("\n".join(reference_table()))
        return
    if issuer_ca_file and not (online and clouds):
        raise click.UsageError("--issuer-ca-file is for --online with --for.")
    config = load_config(config_path)
    problems = [
        *caller_problems(config, SystemClock()),
        *_local_problems(config),
        *_cognito_problems(config),
        *_aws_problems(config),
        *extra_problems(config),
        *tracing_problems(os.environ),
        *federation_problems(config, clouds),
    ]
    if problems:
        raise ConfigError(problems)
    for warning in config_warnings(config, os.environ):
        click.echo(f"warning: {warning}", err=True)
    if too_few := descriptors.warning(config, descriptors.hard_limit()):
        click.echo(f"warning: {too_few}", err=True)
    store = f", store {config.store_name}" if config.pools_of("local") else ""
    click.echo(f"ok: {len(config.pools)} pool(s), gRPC on {', '.join(config.grpc.listen)}{store}")
    for line in checked_federation_rules(clouds):
        click.echo(line)
    if online and not (clouds or config.pools_of("cognito")):
        click.echo('no pool has engine = "cognito": there is nothing to check online')
    elif online:
        _check_online(config, clouds, issuer_ca_file)


def _local_problems(config: Config) -> Sequence[str]:
    if not config.pools_of("local"):
        return ()
    from tokend_server.engines.local.keys.build import (  # noqa: PLC0415 - loaded only if it is configured
        encryption_problems,
        open_key_manager,
    )
    from tokend_server.engines.local.keys.kms_policy import policy_problems  # noqa: PLC0415 - as above
    from tokend_server.engines.local.stores.opening import store_problems  # noqa: PLC0415 - as above

    def open_keys() -> None:
        with open_key_manager(config, Metrics(CollectorRegistry()), SystemClock()):
            pass

    of_files = [*encryption_problems(config), *policy_problems(config)]
    return [*store_problems(config), *(of_files or _problems_of(open_keys))]


def _cognito_problems(config: Config) -> Sequence[str]:
    pools = config.pools_of("cognito")
    if not pools:
        return ()
    from tokend_server.engines.cognito.build import build_cognito_engines  # noqa: PLC0415 - loads boto3

    return _problems_of(
        lambda: build_cognito_engines(config, pools, Metrics(CollectorRegistry()), SystemClock()).close()
    )


def _aws_problems(config: Config) -> Sequence[str]:
    if not config.aws.listen:
        return ()
    from tokend_server.aws_json.build import access_keys  # noqa: PLC0415 - loaded only if it is configured

    return [
        *_problems_of(lambda: access_keys(config.callers)),
        *_problems_of(lambda: app.credential_source(config, SystemClock())),
    ]


def _problems_of(build: Callable[[], object]) -> Sequence[str]:
    """Returns the problems of building a part of a service, without a request."""
    try:
        build()
    except ConfigError as error:
        return error.problems
    return ()


def _check_online(config: Config, clouds: Sequence[Cloud], issuer_ca_file: Path | None) -> None:
    good = [_check_issuer(config, issuer_ca_file)] if clouds else []
    good += [_check_cognito(config)] if config.pools_of("cognito") else []
    if not all(good):
        raise click.exceptions.Exit(1)


def _check_cognito(config: Config) -> bool:
    from tokend_server.engines.cognito.online_check import check_online  # noqa: PLC0415 - loads boto3

    problems = dict(check_online(config, SystemClock()))
    for identity_pool_id, problem in problems.items():
        click.echo(f"{identity_pool_id}: {problem or 'ok, Cognito answers'}", err=bool(problem))
    return not any(problems.values())


def _check_issuer(config: Config, ca_file: Path | None) -> bool:
    from tokend_server.engines.local.issuer_check import IssuerCheck  # noqa: PLC0415 - only this needs them
    from tokend_server.oidc.outbound import IssuerHttp  # noqa: PLC0415 - as above

    issuer = config.issuer.url or ""  # it is set, because clouds require https
    try:
        http = IssuerHttp(ca_file)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--issuer-ca-file") from None
    found = IssuerCheck(issuer, config.signing_algorithms, http, SystemClock()).run(*_held_keys(config))
    for problem in found.problems:
        click.echo(f"{issuer}: {problem}", err=True)
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    if not found.problems:
        click.echo(f"{issuer}: ok, discovery and {found.keys} key(s) match the store")
    return not found.problems


def _held_keys(config: Config) -> tuple[Sequence["SigningKey"], str]:
    """Returns the keys in the store, or the reason why there are none, without changing the store."""
    from tokend_server.engines.local.stores.opening import open_store  # noqa: PLC0415 - loaded only if it is configured

    if config.store_url.startswith(SQLITE) and not config.store_file.exists():
        return (), f"the store has none: {config.store_file} does not exist yet"
    with closing(open_store(config)) as store:
        if store.missing_migrations():
            return (), "the store lacks migrations: run `tokend migrate`"
        return store.signing_keys(), ""


#: The tables that may occur any number of times.
_TABLES: Mapping[str, type[Section]] = {
    'callers.jwt."NAME".': JwtIssuer,
    'ext_authz.mappings."NAME".': ExtAuthzMapping,
    'ext_authz.mappings."NAME".principal_tags."KEY".': TagValue,
    'sds.tokens."NAME".': SdsToken,
    'aws.open_id_connect_providers."NAME".': DeclaredProvider,
    'policy."NAME".': PolicySettings,
    'pools."ID".': Pool,
    'pools."ID".open_id_connect_providers."NAME".': OpenIdConnectProvider,
}


def reference_table() -> Iterator[str]:
    """Yields the configuration reference: a Markdown table with a row for every setting."""
    yield "| setting | default | meaning |"
    yield "|---|---|---|"
    for name, field in Config.model_fields.items():
        if section := section_of(field):
            yield from _rows(f"{name}.", section)
        elif field.description:
            yield _row(name, field)
    for prefix, section in _TABLES.items():
        yield from _rows(prefix, section)


def _rows(prefix: str, section: type[Section]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        if table := section_of(field):
            yield from _rows(f"{prefix}{name}.", table)
        else:
            yield _row(prefix + name, field)


def _row(name: str, field: FieldInfo) -> str:
    return f"| `{name}` | {_default(field)} | {field.description} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default: Any = field.default
    if default is None or default is PydanticUndefined:
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, list):
        return ", ".join(f"`{each}`" for each in default) or "none"
    return f"`{default}`" if default != {} else "none"
