"""The identities of all pools that share a store, by id."""

from collections.abc import Container

from tokend_server.clock import Deadline
from tokend_server.engines.local.administration import page_of_identities
from tokend_server.engines.local.store import IdentityStore
from tokend_server.errors import ResourceNotFound
from tokend_server.model import Identity, IdentityPage, ListRequest


class LocalIdentities:
    """The `Identities` of a store.

    Args:
        store: The store of identities.
        pools: The pools that are served; the store may have others.
    """

    def __init__(self, store: IdentityStore, pools: Container[str]) -> None:
        self._store = store
        self._pools = pools

    def find(self, identity_id: str, deadline: Deadline) -> Identity | None:
        deadline.check()
        identity = self._store.find(identity_id, deadline)
        return identity if identity and identity.identity_pool_id in self._pools else None

    def list(self, request: ListRequest, deadline: Deadline) -> IdentityPage:
        if request.identity_pool_id not in self._pools:
            raise ResourceNotFound.identity_pool(request.identity_pool_id)
        deadline.check()
        return page_of_identities(self._store, request)

    def delete(self, identity: Identity, deadline: Deadline) -> None:
        deadline.check()
        self._store.delete(identity.identity_id)
