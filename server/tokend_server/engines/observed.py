"""An engine that measures another one, so that engines are independent of metrics."""

from collections.abc import Callable
from typing import Generic, TypeVar

from tokend_server.clock import Clock, Deadline
from tokend_server.engine import Engine
from tokend_server.errors import TokendError
from tokend_server.metrics import Metrics
from tokend_server.model import (
    DeveloperIdentity,
    IdentityOutcome,
    IssuedToken,
    LookupRequest,
    MergeRequest,
    Operation,
    TokenRequest,
    UnlinkRequest,
)
from tokend_server.prometheus_internals import counting, observing

_Engine = TypeVar("_Engine")
_Request = TypeVar("_Request")
_Result = TypeVar("_Result")


class Series:
    """The series of the pools that share labels; they are looked up once, which makes a start with many pools fast.

    Args:
        kind: `local` or `cognito`, the label of an engine.
        pool: The label of the pools.
        metrics: The metrics.
    """

    def __init__(self, kind: str, pool: str, metrics: Metrics) -> None:
        self.kind = kind
        self.failures = metrics.engine_failures
        self.count_tokens = _ByLabel(lambda alg: counting(metrics.tokens_issued.labels(kind, pool, alg)))
        self.observe_seconds = _ByLabel(lambda operation: observing(metrics.engine_seconds.labels(kind, operation)))
        for operation in Operation:
            self.observe_seconds[operation]  # makes the series
        self.count_outcomes = {
            outcome: counting(metrics.identities.labels(kind, pool, outcome.value)) for outcome in IdentityOutcome
        }


class _ByLabel(dict[str, Callable[[float], None]]):
    """The functions that update a metric's series, by their last label; each is made once."""

    def __init__(self, make: Callable[[str], Callable[[float], None]]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, label: str) -> Callable[[float], None]:
        return self.setdefault(label, self._make(label))


class Observed(Generic[_Engine]):
    """The metrics of one pool's engine: its duration, outcomes and failures.

    Args:
        engine: The engine that is measured.
        series: The series of its metrics.
        clock: Measures durations.
    """

    def __init__(self, engine: _Engine, series: Series, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._kind = series.kind
        self._failures = series.failures
        self._count_tokens = series.count_tokens
        self._observe_seconds = series.observe_seconds
        self._count_outcomes = series.count_outcomes

    def _count_token(self, issued: IssuedToken) -> IssuedToken:
        if issued.outcome is not None:
            self._count_outcomes[issued.outcome](1)
        self._count_tokens[issued.algorithm](1)
        return issued

    def _measure(
        self,
        operation: str,
        call: Callable[[_Request, Deadline], _Result],
        request: _Request,
        deadline: Deadline,
    ) -> _Result:
        started = self._clock.monotonic()
        try:
            return call(request, deadline)
        except TokendError as error:
            self._failures.labels(self._kind, operation, error.reason or "DEADLINE_EXCEEDED").inc()
            raise
        except Exception:
            self._failures.labels(self._kind, operation, "INTERNAL").inc()
            raise
        finally:
            self._observe_seconds[operation](self._clock.monotonic() - started)


class ObservedEngine(Observed[Engine]):
    """An `Engine` with metrics."""

    def get_open_id_token_for_developer_identity(self, request: TokenRequest, deadline: Deadline) -> IssuedToken:
        call = self._engine.get_open_id_token_for_developer_identity
        operation = Operation.GET_OPEN_ID_TOKEN_FOR_DEVELOPER_IDENTITY
        return self._count_token(self._measure(operation, call, request, deadline))

    def lookup_developer_identity(self, request: LookupRequest, deadline: Deadline) -> DeveloperIdentity:
        return self._measure(
            Operation.LOOKUP_DEVELOPER_IDENTITY, self._engine.lookup_developer_identity, request, deadline
        )

    def merge_developer_identities(self, request: MergeRequest, deadline: Deadline) -> str:
        identity_id = self._measure(
            Operation.MERGE_DEVELOPER_IDENTITIES, self._engine.merge_developer_identities, request, deadline
        )
        self._count_outcomes[IdentityOutcome.MERGED](1)
        return identity_id

    def unlink_developer_identity(self, request: UnlinkRequest, deadline: Deadline) -> None:
        self._measure(Operation.UNLINK_DEVELOPER_IDENTITY, self._engine.unlink_developer_identity, request, deadline)
