"""The engines for users' own devices, and their metrics."""

from collections.abc import Callable, Collection, Container, Mapping
from functools import partial

from tokend_server.clock import Deadline
from tokend_server.engine import PublicEngine
from tokend_server.engines.observed import Observed
from tokend_server.errors import ResourceNotFound, UnsupportedByEngine
from tokend_server.model import CognitoOperation, IssuedToken, RegisteredIdentity, Secret, WebIdentity


class PublicEngines:
    """The public engines of all pools.

    Args:
        by_pool: The engines of the local pools.
        cognito_pools: The ids of Cognito's pools.
        find: Finds the engine of a pool that is in neither.
    """

    def __init__(
        self,
        by_pool: Mapping[str, PublicEngine],
        cognito_pools: Container[str],
        find: Callable[[str, Deadline], PublicEngine | None] = lambda _identity_pool_id, _deadline: None,
    ) -> None:
        self._by_pool = by_pool
        self._cognito_pools = cognito_pools
        self._find = find

    def of(self, identity_pool_id: str, deadline: Deadline) -> PublicEngine:
        """Returns the engine of a pool.

        Raises:
            ResourceNotFound: There is no such pool.
            UnsupportedByEngine: The pool is one of Cognito's.
            EngineUnavailable: The store cannot be read by the deadline.
        """
        if identity_pool_id in self._cognito_pools:
            raise UnsupportedByEngine("Users' devices must call Cognito itself for a Cognito pool.")
        engine = self._by_pool.get(identity_pool_id) or self._find(identity_pool_id, deadline)
        if engine is None:
            raise ResourceNotFound.identity_pool(identity_pool_id)
        return engine


class ObservedPublicEngine(Observed[PublicEngine]):
    """A `PublicEngine` with metrics."""

    def get_id(self, logins: Mapping[str, Secret], caller: str, deadline: Deadline) -> RegisteredIdentity:
        registered = self._measure(
            CognitoOperation.GET_ID,
            lambda given, deadline: self._engine.get_id(given, caller, deadline),
            logins,
            deadline,
        )
        self._count_outcomes[registered.outcome](1)
        return registered

    def get_open_id_token(self, identity_id: str, logins: Mapping[str, Secret], deadline: Deadline) -> IssuedToken:
        call = partial(self._engine.get_open_id_token, identity_id)
        return self._count_token(self._measure(CognitoOperation.GET_OPEN_ID_TOKEN, call, logins, deadline))

    def web_identity(self, identity_id: str, logins: Mapping[str, Secret], deadline: Deadline) -> WebIdentity:
        call = partial(self._engine.web_identity, identity_id)
        return self._measure(CognitoOperation.GET_CREDENTIALS_FOR_IDENTITY, call, logins, deadline)

    def unlink_identity(
        self, identity_id: str, logins: Mapping[str, Secret], provider_names: Collection[str], deadline: Deadline
    ) -> None:
        self._measure(
            CognitoOperation.UNLINK_IDENTITY,
            lambda given, deadline: self._engine.unlink_identity(identity_id, given, provider_names, deadline),
            logins,
            deadline,
        )
