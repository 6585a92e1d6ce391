"""The boto3 calls to Cognito in one Region, with limits of their time, rate and concurrency."""

import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeAlias

from tokend_server.aws.client import methods_of
from tokend_server.aws.transport import CURRENT_UPSTREAM_CALL, UpstreamCall
from tokend_server.clock import Deadline
from tokend_server.engines.cognito.fault_rows import ROWS
from tokend_server.engines.cognito.faults import FAULTS
from tokend_server.engines.cognito.quota import Quota
from tokend_server.errors import EngineUnavailable, TooManyRequests
from tokend_server.metrics import Metrics
from tokend_server.model import Operation
from tokend_server.prometheus_internals import observing
from tokend_server.single_flight import CallTimedOut, SingleFlight, Terms

Response: TypeAlias = Mapping[str, Any]

#: Makes the contract's error from an error of boto3.
ToContractError: TypeAlias = Callable[[Exception], Exception]


class _NoCredentialsInTime(CallTimedOut):
    """Raised when a call timed out before there were credentials to sign its first request."""


class CognitoGateway:
    """The calls for all pools in a Region.

    Args:
        client: boto3's client for the Region.
        region: The Region, which is the label of its metrics.
        quota: Keeps its operations below Cognito's quotas.
        max_calls: The maximum number of callers that wait.
        timeout: The timeout of calls in seconds, whatever the caller's deadline.
        metrics: The metrics of refusals.
    """

    def __init__(  # noqa: PLR0913
        self,
        client: Any,  # noqa: ANN401 - boto3's clients have no types
        region: str,
        quota: Quota,
        *,
        max_calls: int,
        timeout: float,
        metrics: Metrics,
    ) -> None:
        self._client = client
        self._region = region
        self._quota = quota
        self._admission = threading.BoundedSemaphore(max_calls)
        self._flights = SingleFlight()
        self._timeout = timeout
        self._metrics = metrics
        self._methods = methods_of(client, Operation)

    def call(
        self,
        operation: Operation,
        parameters: Mapping[str, object],
        deadline: Deadline,
        to_contract_error: ToContractError,
        terms: Terms | None = None,
    ) -> tuple[Response, bool]:
        """Calls an operation, or waits for an identical call in flight.

        Args:
            operation: The operation.
            parameters: Its members, as AWS names them.
            deadline: The caller's deadline.
            to_contract_error: Makes the contract's error from an error of boto3.
            terms: The terms of sharing; None to not share the call.

        Returns:
            The members of the response, and whether another caller's call returned it.

        Raises:
            DeadlineExceeded: The deadline passed.
            EngineUnavailable: The call timed out.
            TooManyRequests: Too many callers wait, or the quota of the Region is exhausted.
            Exception: The error from `to_contract_error`.
        """
        limit = deadline.within(self._timeout)

        def send() -> Response:
            return self._send(operation, UpstreamCall(operation, limit), parameters, to_contract_error)

        if not self._admission.acquire(blocking=False):
            self._metrics.cognito_refused.labels(self._region, "calls").inc()
            raise TooManyRequests("Too many calls are waiting for Cognito.")
        try:
            return (send(), False) if terms is None else self._flights.do(terms, send, limit)
        except CallTimedOut as late:
            deadline.check()
            if isinstance(late, _NoCredentialsInTime):
                raise ROWS.not_renewed_now.to_error() from None
            raise EngineUnavailable("Cognito did not answer in time.") from None
        finally:
            self._admission.release()

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _send(
        self,
        operation: Operation,
        call: UpstreamCall,
        parameters: Mapping[str, object],
        to_contract_error: ToContractError,
    ) -> Response:
        if wait := self._quota.take(operation):
            self._metrics.cognito_refused.labels(self._region, "quota").inc()
            raise TooManyRequests("Rate exceeded", retry_after=wait)
        token = CURRENT_UPSTREAM_CALL.set(call)
        try:
            return self._methods[operation](**parameters)
        except Exception as error:  # noqa: BLE001 - classified by `to_contract_error`
            # Whatever the error, a lack of time may be the cause.
            if call.deadline.remaining():
                raise to_contract_error(error) from None
            raise (CallTimedOut() if call.was_sent else _NoCredentialsInTime()) from None
        finally:
            CURRENT_UPSTREAM_CALL.reset(token)


class RegionAttempts:
    """The `RetryDecisions` of the requests to a region.

    Args:
        region: The Region, which is the label of its metrics.
        quota: The quota that retries use, as first attempts do.
        metrics: The metrics of requests.
    """

    def __init__(self, region: str, quota: Quota, metrics: Metrics) -> None:
        self._region = region
        self._quota = quota
        self._observe_seconds = cache(
            lambda operation: observing(metrics.cognito_request_seconds.labels(region, operation))
        )
        self._failures = metrics.cognito_request_failures

    def is_transient(self, failure: Exception | str) -> bool:
        return FAULTS.is_transient(failure)

    def allows_retry(self, call: UpstreamCall) -> bool:
        return not self._quota.take(Operation(call.operation))

    def observe(self, call: UpstreamCall, seconds: float, failure: Exception | str) -> None:
        self._observe_seconds(call.operation)(seconds)
        if failure:
            self._failures.labels(self._region, call.operation, FAULTS.label(failure)).inc()
