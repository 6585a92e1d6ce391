"""All identity pools: those of the configuration, and those that are managed through Cognito's own API."""

from collections.abc import Callable, Mapping, Sequence
from heapq import merge
from itertools import islice
from typing import Any

from tokend_server.clock import Deadline
from tokend_server.engines.configured_pools import ConfiguredPools
from tokend_server.engines.local.managed_pools import ManagedPools
from tokend_server.errors import NotAuthorized, ResourceNotFound
from tokend_server.model import IdentityPool


class AllPools:
    """The `IdentityPools` of a service.

    Args:
        configured: The pools of the configuration.
        managed: The managed pools.
    """

    def __init__(self, configured: ConfiguredPools, managed: ManagedPools) -> None:
        self._configured = configured
        self._managed = managed

    def describe(self, identity_pool_id: str, deadline: Deadline) -> IdentityPool:
        if identity_pool_id in self._configured:
            return self._configured.describe(identity_pool_id, deadline)
        pool = self._managed.find(identity_pool_id, deadline)
        if pool is None:
            raise ResourceNotFound.identity_pool(identity_pool_id)
        return pool

    def list(self, region: str, max_results: int, after: str, deadline: Deadline) -> Sequence[IdentityPool]:
        configured = self._configured.list(region, max_results, after, deadline)
        own = f"{region}:"
        managed = (
            pool
            for pool in self._managed.all()
            if pool.identity_pool_id.startswith(own)
            and pool.identity_pool_id > after
            and pool.identity_pool_id not in self._configured
        )
        return [*islice(merge(configured, managed, key=lambda pool: pool.identity_pool_id), max_results)]

    def create(
        self, region: str, settings: Mapping[str, Any], tags: Mapping[str, str], deadline: Deadline
    ) -> IdentityPool:
        deadline.check()
        return self._managed.create(region, settings, tags)

    def change(
        self, identity_pool_id: str, decide: Callable[[IdentityPool], IdentityPool], deadline: Deadline
    ) -> IdentityPool:
        self._check_managed(identity_pool_id)
        return self._managed.change(identity_pool_id, decide, deadline)

    def delete(self, identity_pool_id: str, deadline: Deadline) -> None:
        self._check_managed(identity_pool_id)
        self._managed.delete(identity_pool_id, deadline)

    def _check_managed(self, identity_pool_id: str) -> None:
        if identity_pool_id in self._configured:
            raise NotAuthorized(f"IdentityPool '{identity_pool_id}' is declared in the configuration of this service.")
