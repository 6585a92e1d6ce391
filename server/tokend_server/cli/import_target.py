"""The pool that identities are imported into: one of the configuration, or one that callers have made."""

from dataclasses import dataclass

from tokend_server.config import Config
from tokend_server.engines.local.developer_providers import keep_developer_providers
from tokend_server.engines.local.kept_pools import pool_of
from tokend_server.engines.local.managed_pool import client_ids_by_provider
from tokend_server.engines.local.store import Store
from tokend_server.errors import ResourceNotFound


@dataclass(frozen=True, slots=True)
class ImportTarget:
    """The pool.

    Attributes:
        config: Where it may be declared.
        store: Where it may be kept, and its identities are.
        identity_pool_id: REGION:GUID.
        developer_provider_name: Its developer provider; empty where it has none.
        provider_names: All of whose users may be imported.
    """

    config: Config
    store: Store
    identity_pool_id: str
    developer_provider_name: str
    provider_names: frozenset[str]

    def keep_developer_provider(self) -> None:
        """Keeps the developer provider, unless users are registered under another one; to be done before any is.

        Raises:
            ConfigError: There are such users.
        """
        # A pool that callers have made has it for good.
        if declared := self.config.pools.get(self.identity_pool_id):
            keep_developer_providers(self.store, {self.identity_pool_id: declared})


def import_target(config: Config, store: Store, identity_pool_id: str) -> ImportTarget:
    """The pool of an id.

    Raises:
        ResourceNotFound: There is no such pool.
    """
    if declared := config.pools.get(identity_pool_id):
        developer, others = declared.developer_provider_name, frozenset(declared.open_id_connect_providers)
    elif pool := pool_of(store.kept_pool(identity_pool_id)):
        developer = pool.settings.get("DeveloperProviderName", "")
        others = frozenset(client_ids_by_provider(pool, config.aws))
    else:
        raise ResourceNotFound.identity_pool(identity_pool_id)
    return ImportTarget(config, store, identity_pool_id, developer, others | ({developer} if developer else set()))
