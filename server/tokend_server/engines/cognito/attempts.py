"""What happens around each request of a call, by botocore's events: is there time for it, how long did it take."""

from collections.abc import Mapping
from typing import Any

from tokend_server.clock import Clock
from tokend_server.engines.cognito.botocore_internals import take_over_retries
from tokend_server.engines.cognito.client import CognitoClient
from tokend_server.engines.cognito.fault_rows import ANSWERS
from tokend_server.engines.cognito.faults import failure_label, may_pass
from tokend_server.engines.cognito.quota import Quota
from tokend_server.engines.cognito.transport import CURRENT_UPSTREAM_CALL
from tokend_server.errors import RetryableError
from tokend_server.metrics import Metrics

_SERVICE = "cognito-identity"


class Attempts:
    """Follows the requests of a client's calls.

    Args:
        client: The client, made with botocore's standard retries.
        region: The label of its metrics.
        quota: What a retry takes from, as a first attempt does.
        max_attempts: Requests for one call, the first included.
        metrics: Where requests are measured.
        clock: The time.
    """

    def __init__(  # noqa: PLR0913
        self, client: CognitoClient, region: str, quota: Quota, *, max_attempts: int, metrics: Metrics, clock: Clock
    ) -> None:
        self._region = region
        self._quota = quota
        self._metrics = metrics
        self._clock = clock
        self._standard = take_over_retries(client, max_attempts)
        events = client.meta.events
        events.register(f"needs-retry.{_SERVICE}", self._needs_retry)
        events.register(f"before-send.{_SERVICE}", self._before_send)
        events.register(f"response-received.{_SERVICE}", self._response_received)
        # An answer that botocore stumbles over is not received.
        events.register(f"after-call-error.{_SERVICE}", self._call_failed)

    def _needs_retry(self, **event: Any) -> float | None:  # noqa: ANN401 - as botocore calls it
        """The seconds that botocore is to sleep before it tries again; None ends the call with what it met."""
        caught = event["caught_exception"]
        if _is_final(event["response"]) or (caught and not may_pass(caught)):
            return None
        delay: float | None = self._standard.needs_retry(**event)
        call = CURRENT_UPSTREAM_CALL.get()
        if delay is None or call is None:
            return delay
        in_time = delay < call.deadline.remaining()
        return delay if in_time and not self._quota.take(call.operation) else None

    def _before_send(self, **_: object) -> None:
        if call := CURRENT_UPSTREAM_CALL.get():
            call.deadline.check()
            call.sent_at = self._clock.monotonic()

    def _response_received(
        self, parsed_response: Mapping[str, Any] | None, exception: Exception | None, **_: object
    ) -> None:
        self._observe(exception or _error_code(parsed_response))

    def _call_failed(self, exception: Exception, **_: object) -> None:
        self._observe(exception)

    def _observe(self, failure: Exception | str) -> None:
        call = CURRENT_UPSTREAM_CALL.get()
        if call is None or not call.sent_at:
            return
        labels = (self._region, call.operation)
        self._metrics.cognito_request_seconds.labels(*labels).observe(self._clock.monotonic() - call.sent_at)
        if failure:
            self._metrics.cognito_request_failures.labels(*labels, failure_label(failure)).inc()
        call.sent_at = 0.0


def _error_code(parsed_response: Mapping[str, Any] | None) -> str:
    return str((parsed_response or {}).get("Error", {}).get("Code", ""))


def _is_final(response: tuple[Any, Mapping[str, Any]] | None) -> bool:
    """Whether the same call would be answered alike, as botocore does not know of LimitExceededException."""
    fault = ANSWERS.get(_error_code(response[1])) if response else None
    return fault is not None and not issubclass(fault.error, RetryableError)
