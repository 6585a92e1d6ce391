"""Refuses to change a pool's developer provider while it has users, who would get new identity ids.

Cognito does not allow the name to change either:
https://docs.aws.amazon.com/cognito/latest/developerguide/developer-authenticated-identities.html
"""

import logging
from collections.abc import Mapping

from tokend_server.config import Pool
from tokend_server.engines.local.store import DeveloperProviderStore
from tokend_server.errors import ConfigError

_log = logging.getLogger(__name__)


def keep_developer_providers(store: DeveloperProviderStore, pools: Mapping[str, Pool]) -> None:
    """Stores the developer provider of each pool, unless users are registered under another one.

    Args:
        store: The store of developer providers.
        pools: The configured pools by id.

    Raises:
        ConfigError: Users of a pool are registered under another developer provider.
        EngineUnavailable: The store does not answer.
    """
    before = store.developer_providers()
    changed = _changed(pools, before)
    if not changed:
        return
    store.keep_developer_providers(lambda kept: _decided(store, pools, kept))
    for identity_pool_id in changed.keys() & before.keys():
        _log.warning(
            f'pools."{identity_pool_id}": the developer provider is {changed[identity_pool_id]}, '
            f"and was {before[identity_pool_id]}",
            extra={"advice": "Stop the servers that have the earlier name: users whom they register get other ids."},
        )


def _decided(store: DeveloperProviderStore, pools: Mapping[str, Pool], kept: Mapping[str, str]) -> Mapping[str, str]:
    changed = _changed(pools, kept)
    # An earlier release did not store them: the logins show what it has registered.
    unregistered = store.pools_with_identities() - kept.keys() if changed.keys() - kept.keys() else frozenset()
    problems = []
    for identity_pool_id, name in changed.items():
        others: frozenset[str] = frozenset()
        if before := kept.get(identity_pool_id):
            others = frozenset({before} if store.has_login_of(identity_pool_id, before) else ())
        elif identity_pool_id in unregistered and not store.has_login_of(identity_pool_id, name):
            others = store.provider_names(identity_pool_id) - pools[identity_pool_id].open_id_connect_providers.keys()
        if others:
            problems.append(
                f'pools."{identity_pool_id}".developer_provider_name: users of the pool are registered under '
                f"{', '.join(sorted(others))} and would get new identity ids: set the name back, or declare a new pool"
            )
    if problems:
        raise ConfigError(problems)
    return changed


def _changed(pools: Mapping[str, Pool], kept: Mapping[str, str]) -> dict[str, str]:
    return {
        identity_pool_id: pool.developer_provider_name
        for identity_pool_id, pool in pools.items()
        if kept.get(identity_pool_id) != pool.developer_provider_name
    }
