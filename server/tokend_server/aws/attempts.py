"""Handles each request of a call by botocore's events: checks the remaining time, and measures the request."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Protocol

from botocore.awsrequest import AWSResponse

from tokend_server.aws.botocore_internals import replace_automatic_retries
from tokend_server.aws.faults import Faults
from tokend_server.aws.transport import CURRENT_UPSTREAM_CALL, UpstreamCall
from tokend_server.clock import Clock

#: The header with the checksum of DynamoDB's responses.
_CHECKSUM = "x-amz-crc32"


class RetryDecisions(Protocol):
    """The decisions about a client's requests."""

    def is_transient(self, failure: Exception | str) -> bool:
        """Returns whether a retry of the call may succeed after an exception or an error code."""
        ...

    def allows_retry(self, call: UpstreamCall) -> bool:
        """Returns whether a call may make another request, which it then makes."""
        ...

    def observe(self, call: UpstreamCall, seconds: float, failure: Exception | str) -> None:
        """Records the duration of a request and its failure; an empty text if there was none."""
        ...


class RetryTransientFailures:
    """The `RetryDecisions` of requests without metrics: transient failures are retried until the deadline.

    Args:
        faults: Returns whether a failure is transient.
    """

    def __init__(self, faults: Faults) -> None:
        self.is_transient = faults.is_transient

    def allows_retry(self, _call: UpstreamCall) -> bool:
        return True

    def observe(self, _call: UpstreamCall, _seconds: float, _failure: Exception | str) -> None:
        """Does nothing: the caller measures the call as a whole."""


class Attempts:
    """Handles the requests of a client's calls.

    Args:
        client: The client, made with botocore's standard retries.
        decisions: Decides about the requests.
        max_attempts: The maximum number of requests of a call, including the first.
        clock: The time.
    """

    def __init__(self, client: Any, decisions: RetryDecisions, *, max_attempts: int, clock: Clock) -> None:  # noqa: ANN401
        self._decisions = decisions
        self._clock = clock
        self._standard = replace_automatic_retries(client, max_attempts)
        events, service = client.meta.events, client.meta.service_model.service_id.hyphenize()
        events.register(f"needs-retry.{service}", self._needs_retry)
        events.register(f"before-send.{service}", self._before_send)
        events.register(f"response-received.{service}", self._response_received)
        # A response that botocore cannot parse causes no response event.
        events.register(f"after-call-error.{service}", self._call_failed)

    def _needs_retry(self, **event: Any) -> float | None:  # noqa: ANN401 - as botocore calls it
        """Returns the seconds that botocore sleeps before a retry; None ends the call with its result."""
        response, caught = event["response"], event["caught_exception"]
        if response and _ends_call(response[0]):
            return None
        failure = caught or (_error_code(response[1]) if response else "")
        if failure and not self._decisions.is_transient(failure):
            return None
        delay: float | None = self._standard.needs_retry(**event)
        call = CURRENT_UPSTREAM_CALL.get()
        if delay is None or call is None:
            return delay
        in_time = delay < call.deadline.remaining()
        return delay if in_time and self._decisions.allows_retry(call) else None

    def _before_send(self, **_: object) -> None:
        if call := CURRENT_UPSTREAM_CALL.get():
            call.deadline.check()
            call.sent_at = self._clock.monotonic()
            call.was_sent = True

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
        self._decisions.observe(call, self._clock.monotonic() - call.sent_at, failure)
        call.sent_at = 0.0


def _ends_call(response: AWSResponse) -> bool:
    """Returns whether a response is successful, and has no checksum, which botocore's retries would verify."""
    return response.status_code < HTTPStatus.MULTIPLE_CHOICES and _CHECKSUM not in response.headers


def _error_code(parsed_response: Mapping[str, Any] | None) -> str:
    return str((parsed_response or {}).get("Error", {}).get("Code", ""))
