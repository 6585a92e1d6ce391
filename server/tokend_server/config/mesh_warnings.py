"""Warnings about tokens for proxies that no policy row allows, so that every request would be denied."""

from collections.abc import Collection, Iterator

from tokend_server.config import Config
from tokend_server.config.mesh import WantedTokenSettings
from tokend_server.model import Operation

_OPERATION = Operation.GET_OPEN_ID_TOKEN_FOR_DEVELOPER_IDENTITY
_ANY = "*"


def mesh_warnings(config: Config) -> Iterator[str]:
    """Yields the warnings, as `setting: problem`."""
    for name, mapping in config.ext_authz.mappings.items():
        tags = [key for key, tag in mapping.principal_tags.items() if not tag.optional]
        if missing := _missing(config, mapping, tags):
            yield f"ext_authz.mappings.{name}: each request would be denied: {missing}"
    for name, token in config.sds.tokens.items():
        if missing := _missing(config, token, token.principal_tags):
            yield f"sds.tokens.{name}: no caller would get it: {missing}"


def _missing(config: Config, wanted: WantedTokenSettings, tags: Collection[str]) -> str | None:
    """Returns the requirement of a token that no policy row meets; None if there is a suitable row."""
    if not config.policy:
        return None
    pool = wanted.identity_pool_id
    rows = [
        row
        for row in config.policy.values()
        if {pool, _ANY} & {*row.pools} and {_OPERATION, _ANY} & {*map(str, row.operations)}
    ]
    if not rows:
        return f"no row of the policy has {_OPERATION} on {pool}"
    seconds = wanted.token_duration_seconds or 0
    rows = [row for row in rows if seconds <= row.max_token_duration_seconds]
    if not rows:
        return f"no row of the policy for {pool} has a max_token_duration_seconds of {seconds} or more"
    if not any(_ANY in row.principal_tag_keys or {*tags} <= {*row.principal_tag_keys} for row in rows):
        return f"no row of the policy for {pool} has all of these in principal_tag_keys: {', '.join(sorted(tags))}"
    return None
