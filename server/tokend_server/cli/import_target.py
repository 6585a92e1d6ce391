"""The pool into which identities are imported: a configured or a managed pool."""

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
        config: The configuration, which may declare it.
        store: The store of its identities, which may also contain it.
        identity_pool_id: REGION:GUID.
        developer_provider_name: Its developer provider; empty if it has none.
        provider_names: The providers whose users may be imported.
    """

    config: Config
    store: Store
    identity_pool_id: str
    developer_provider_name: str
    provider_names: frozenset[str]

    def keep_developer_provider(self) -> None:
        """Stores the developer provider, unless users are registered under another one; to be called before an import.

        Raises:
            ConfigError: There are such users.
        """
        # The developer provider of a managed pool cannot change.
        if declared := self.config.pools.get(self.identity_pool_id):
            keep_developer_providers(self.store, {self.identity_pool_id: declared})


def import_target(config: Config, store: Store, identity_pool_id: str) -> ImportTarget:
    """Returns the pool with an id.

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
