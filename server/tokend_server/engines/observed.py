"""An engine that measures another one, so that engines are independent of metrics."""

from collections.abc import Callable
from typing import TypeVar

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
        self._seconds = metrics.engine_seconds
        self.count_tokens = _Counters(lambda alg: counting(metrics.tokens_issued.labels(kind, pool, alg)))
        self.observe_seconds = {
            operation: observing(metrics.engine_seconds.labels(kind, operation)) for operation in Operation
        }
        self.count_outcomes = {
            outcome: counting(metrics.identities.labels(kind, pool, outcome.value)) for outcome in IdentityOutcome
        }

    def count_failure(self, operation: str, reason: str) -> None:
        """Counts a failure of an operation."""
        self.failures.labels(self.kind, operation, reason).inc()

    def observe(self, operation: str, seconds: float) -> None:
        """Records the duration of an operation."""
        self._seconds.labels(self.kind, operation).observe(seconds)


class ObservedEngine:
    """The `Engine` of one pool, with metrics of its duration, outcomes and failures.

    Args:
        engine: The engine that is measured.
        series: The series of its metrics.
        clock: Measures durations.
    """

    def __init__(self, engine: Engine, series: Series, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._kind = series.kind
        self._failures = series.failures
        self._count_tokens = series.count_tokens
        self._observe_seconds = series.observe_seconds
        self._count_outcomes = series.count_outcomes

    def get_open_id_token_for_developer_identity(self, request: TokenRequest, deadline: Deadline) -> IssuedToken:
        issued = self._measure(
            Operation.GET_OPEN_ID_TOKEN_FOR_DEVELOPER_IDENTITY,
            self._engine.get_open_id_token_for_developer_identity,
            request,
            deadline,
        )
        if issued.outcome is not None:
            self._count_outcomes[issued.outcome](1)
        self._count_tokens[issued.algorithm](1)
        return issued

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

    def _measure(
        self,
        operation: Operation,
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


class _Counters(dict[str, Callable[[float], None]]):
    """The functions that count in a counter's series, by their last label; each is looked up once."""

    def __init__(self, counting_of: Callable[[str], Callable[[float], None]]) -> None:
        super().__init__()
        self._counting_of = counting_of

    def __missing__(self, label: str) -> Callable[[float], None]:
        return self.setdefault(label, self._counting_of(label))
