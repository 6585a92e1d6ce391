from pathlib import Path

import click

from tokend_server.access.build import policy_of
from tokend_server.callers.names import check_spelling
from tokend_server.cli.options import config_option, echo_json
from tokend_server.config import load_config
from tokend_server.model import CognitoOperation, Operation, StsOperation


@click.group()
def policy() -> None:
    """Who may do what."""


def _validate_name(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    try:
        return check_spelling(name)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@policy.command()
@config_option
@click.option(
    "--caller",
    required=True,
    callback=_validate_name,
    help="The caller's name, such as spiffe://acme.internal/ns/shop/sa/checkout.",
)
@click.option(
    "--operation",
    required=True,
    type=click.Choice([str(each) for each in (*Operation, *CognitoOperation, *StsOperation)]),
    help="The operation.",
)
@click.option("--pool", required=True, help="The identity pool id.")
def explain(config_path: Path | None, caller: str, operation: str, pool: str) -> None:
    """Show whether a call would be allowed, and which row of the policy decides.

    Exits with 1 if the call would be denied.
    """
    config = load_config(config_path)
    if pool not in config.pools:
        raise click.BadParameter("there is no such pool in the configuration", param_hint="--pool")
    rows = policy_of(config)
    decided = rows.decide(caller, operation, pool)
    document: dict[str, object] = {"Decision": "allow" if decided else "deny"}
    if decided:
        document |= {
            "Policy": decided.name or None,
            "MaxTokenDurationSeconds": int(decided.max_token_duration.total_seconds()),
            "PrincipalTagKeys": sorted(decided.principal_tag_keys),
        }
    document["Rows"] = [
        {
            "Policy": row.name or None,
            "Caller": row.matches_caller(caller),
            "Operation": row.matches_operation(operation),
            "Pool": row.matches_pool(pool),
        }
        for row in rows.rows
    ]
    echo_json(document)
    if decided is None:
        raise click.exceptions.Exit(1)
