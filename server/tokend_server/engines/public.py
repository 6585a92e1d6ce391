"""The engines for users' own devices, and their metrics."""

from collections.abc import Callable, Collection, Container, Mapping
from typing import TypeVar

from tokend_server.clock import Clock, Deadline
from tokend_server.engine import PublicEngine
from tokend_server.engines.observed import Series
from tokend_server.errors import ResourceNotFound, TokendError, UnsupportedByEngine
from tokend_server.model import CognitoOperation, IssuedToken, RegisteredIdentity, Secret, WebIdentity

_Result = TypeVar("_Result")


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


class ObservedPublicEngine:
    """The `PublicEngine` of one pool, with metrics of its duration, outcomes and failures.

    Args:
        engine: The engine that is measured.
        series: The series of its metrics.
        clock: Measures durations.
    """

    def __init__(self, engine: PublicEngine, series: Series, clock: Clock) -> None:
        self._engine = engine
        self._series = series
        self._clock = clock

    def get_id(self, logins: Mapping[str, Secret], caller: str, deadline: Deadline) -> RegisteredIdentity:
        registered = self._measure(CognitoOperation.GET_ID, lambda: self._engine.get_id(logins, caller, deadline))
        self._series.count_outcomes[registered.outcome](1)
        return registered

    def get_open_id_token(self, identity_id: str, logins: Mapping[str, Secret], deadline: Deadline) -> IssuedToken:
        issued = self._measure(
            CognitoOperation.GET_OPEN_ID_TOKEN, lambda: self._engine.get_open_id_token(identity_id, logins, deadline)
        )
        if issued.outcome is not None:
            self._series.count_outcomes[issued.outcome](1)
        self._series.count_tokens[issued.algorithm](1)
        return issued

    def web_identity(self, identity_id: str, logins: Mapping[str, Secret], deadline: Deadline) -> WebIdentity:
        return self._measure(
            CognitoOperation.GET_CREDENTIALS_FOR_IDENTITY,
            lambda: self._engine.web_identity(identity_id, logins, deadline),
        )

    def unlink_identity(
        self, identity_id: str, logins: Mapping[str, Secret], provider_names: Collection[str], deadline: Deadline
    ) -> None:
        self._measure(
            CognitoOperation.UNLINK_IDENTITY,
            lambda: self._engine.unlink_identity(identity_id, logins, provider_names, deadline),
        )

    def _measure(self, operation: CognitoOperation, call: Callable[[], _Result]) -> _Result:
        started = self._clock.monotonic()
        try:
            return call()
        except TokendError as error:
            self._series.count_failure(operation, error.reason or "DEADLINE_EXCEEDED")
            raise
        except Exception:
            self._series.count_failure(operation, "INTERNAL")
            raise
        finally:
            self._series.observe(operation, self._clock.monotonic() - started)
