"""The identities of all local pools; identities of Cognito's pools are available only from Cognito."""

from collections.abc import Container

from tokend_server.clock import Deadline
from tokend_server.engine import Identities
from tokend_server.errors import ResourceNotFound, UnsupportedByEngine
from tokend_server.model import Identity, IdentityPage, ListRequest


class IdentitiesOfPools:
    """The `Identities` of a configuration.

    Args:
        local: The identities of local pools; None if there are no local pools.
        cognito_pools: The ids of Cognito's pools.
    """

    def __init__(self, local: Identities | None, cognito_pools: Container[str]) -> None:
        self._local = local
        self._cognito_pools = cognito_pools

    def find(self, identity_id: str, deadline: Deadline) -> Identity | None:
        return self._local.find(identity_id, deadline) if self._local else None

    def list(self, request: ListRequest, deadline: Deadline) -> IdentityPage:
        if request.identity_pool_id in self._cognito_pools:
            raise UnsupportedByEngine("The identities of a Cognito pool must be listed with Cognito itself.")
        if self._local is None:
            raise ResourceNotFound.identity_pool(request.identity_pool_id)
        return self._local.list(request, deadline)

    def delete(self, identity: Identity, deadline: Deadline) -> None:
        if self._local:
            self._local.delete(identity, deadline)
