"""What happens around each request of a call, by botocore's events: is there time for it, how long did it take."""

from collections.abc import Mapping
from typing import Any, Protocol

from tokend_server.aws.botocore_internals import take_over_retries
from tokend_server.aws.faults import Faults
from tokend_server.aws.transport import CURRENT_UPSTREAM_CALL, UpstreamCall
from tokend_server.clock import Clock


class Judge(Protocol):
    """What the owner of a client thinks of its requests."""

    def may_pass(self, failure: Exception | str) -> bool:
        """Whether the call may succeed when it is made again, after an exception or the code of an answer."""
        ...

    def admits_retry(self, call: UpstreamCall) -> bool:
        """Whether one more request may be made for a call; it is made then."""
        ...

    def observe(self, call: UpstreamCall, seconds: float, failure: Exception | str) -> None:
        """Takes note of a request: how long it took, and what it met; an empty text for nothing."""
        ...


class RetryingWhatMayPass:
    """The `Judge` of requests of which nothing is counted: whatever may pass is tried again within its time.

    Args:
        faults: Tells what may pass.
    """

    def __init__(self, faults: Faults) -> None:
        self.may_pass = faults.may_pass

    def admits_retry(self, _call: UpstreamCall) -> bool:
        return True

    def observe(self, _call: UpstreamCall, _seconds: float, _failure: Exception | str) -> None:
        """Notes nothing: what makes the call measures it as a whole."""


class Attempts:
    """Follows the requests of a client's calls.

    Args:
        client: The client, made with botocore's standard retries.
        judge: What its owner thinks of them.
        max_attempts: Requests for one call, the first included.
        clock: The time.
    """

    def __init__(self, client: Any, judge: Judge, *, max_attempts: int, clock: Clock) -> None:  # noqa: ANN401
        self._judge = judge
        self._clock = clock
        self._standard = take_over_retries(client, max_attempts)
        events, service = client.meta.events, client.meta.service_model.service_id.hyphenize()
        events.register(f"needs-retry.{service}", self._needs_retry)
        events.register(f"before-send.{service}", self._before_send)
        events.register(f"response-received.{service}", self._response_received)
        # An answer that botocore stumbles over is not received.
        events.register(f"after-call-error.{service}", self._call_failed)

    def _needs_retry(self, **event: Any) -> float | None:  # noqa: ANN401 - as botocore calls it
        """The seconds that botocore is to sleep before it tries again; None ends the call with what it met."""
        response, caught = event["response"], event["caught_exception"]
        # A successful answer ends a call by itself.
        met = caught or (_error_code(response[1]) if response else "")
        if met and not self._judge.may_pass(met):
            return None
        delay: float | None = self._standard.needs_retry(**event)
        call = CURRENT_UPSTREAM_CALL.get()
        if delay is None or call is None:
            return delay
        in_time = delay < call.deadline.remaining()
        return delay if in_time and self._judge.admits_retry(call) else None

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
        self._judge.observe(call, self._clock.monotonic() - call.sent_at, failure)
        call.sent_at = 0.0


def _error_code(parsed_response: Mapping[str, Any] | None) -> str:
    return str((parsed_response or {}).get("Error", {}).get("Code", ""))
