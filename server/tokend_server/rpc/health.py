"""The health service, grpc.health.v1."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tokend_server.errors import TooManyRequests
from tokend_server.model import ANONYMOUS
from tokend_server.rpc.call import current_call
from tokend_server.rpc.ended import CallEnded
from tokend_server.rpc.message_wait import MessageWait
from tokend_server.rpc.worker_pool import WorkerPool

#: A value of HealthCheckResponse.ServingStatus.
_Status: TypeAlias = Any

#: Sends a response, and returns when gRPC has accepted it; None ends the call.
_Send = Callable[[health_pb2.HealthCheckResponse | None], None]

#: Seconds after which a refused watch may be retried.
_RETRY_AFTER = 5.0

_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class HealthService(health_pb2_grpc.HealthServicer):
    """Reports the status of the server as a whole and of its services.

    A watch occupies no thread. Its responses are sent by the threads of this service, so that a client that reads no
    responses delays neither changes of the status nor other watches.

    Args:
        services: The names of services, in addition to the server as a whole.
        max_watches: The number of watches from which on those of the callers with the most watches are refused; unknown
            callers count by connection.
        threads: The threads that send responses.
        wait: Replaces threads whose clients do not read responses, and cancels such calls.
    """

    def __init__(self, *services: str, max_watches: int, threads: WorkerPool, wait: MessageWait) -> None:
        self._services = ("", *services)
        self._max_watches = max_watches
        self._threads = threads
        self._wait = wait
        self._lock = threading.Lock()
        self._status = health_pb2.HealthCheckResponse.NOT_SERVING
        self._is_final = False
        self._watches: set[_Watch] = set()
        self._watches_of: Counter[str] = Counter()

    def set_serving(self, *, serving: bool) -> None:
        """Sets the status, and sends it to watches if it has changed."""
        if not self._is_final:
            status = health_pb2.HealthCheckResponse
            self._set_status(status.SERVING if serving else status.NOT_SERVING)

    def enter_graceful_shutdown(self) -> None:
        """Sets the status to NOT_SERVING permanently."""
        self._is_final = True
        self._set_status(health_pb2.HealthCheckResponse.NOT_SERVING)

    def end_watches(self) -> None:
        """Ends all watches, which would otherwise stay calls in flight as long as their clients watch."""
        for watch in self._all_watches():
            watch.end()

    def Check(  # noqa: N802 - the contract's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        if request.service not in self._services:
            context.set_code(grpc.StatusCode.NOT_FOUND)
            return health_pb2.HealthCheckResponse()
        return health_pb2.HealthCheckResponse(status=self._status)

    def List(  # noqa: N802 - the contract's name
        self,
        _request: Any,  # noqa: ANN401 - the stubs lack it
        _context: grpc.ServicerContext,
    ) -> Any:  # noqa: ANN401 - as above
        """Returns the status of all names."""
        status = health_pb2.HealthCheckResponse(status=self._status)
        return health_pb2.HealthListResponse(statuses=dict.fromkeys(self._services, status))  # type: ignore[attr-defined] # as above

    def Watch(  # noqa: N802 - the contract's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.ServicerContext,
        send_response_callback: Any = None,  # noqa: ANN401 - as grpc calls it
    ) -> Any:  # noqa: ANN401 - as above
        """Sends the status now and at each change.

        Raises:
            TooManyRequests: There are too many watches.
            CallEnded: The client has disconnected.
        """
        call = current_call()
        party = call.source if call.caller == ANONYMOUS else call.caller
        watch = _Watch(
            (lambda: self._status) if request.service in self._services else (lambda: _UNKNOWN),
            lambda response: self._wait.wait_for_client(
                lambda: send_response_callback(response), context, self._threads
            ),
            context.cancel,
            lambda work: self._threads.run_for(call.source, work),
        )
        self._admit(watch, party)
        if not context.add_callback(lambda: self._forget(watch, party)):
            self._forget(watch, party)
            raise CallEnded
        watch.send_changes()

    # gRPC then passes a function that sends responses, and ignores the return value.
    Watch.experimental_non_blocking = True  # type: ignore[attr-defined]

    def _set_status(self, status: _Status) -> None:
        self._status = status
        for watch in self._all_watches():
            watch.notify()

    def _all_watches(self) -> "tuple[_Watch, ...]":
        with self._lock:
            return tuple(self._watches)

    def _admit(self, watch: "_Watch", party: str) -> None:
        with self._lock:
            parties = len(self._watches_of)
            if len(self._watches) >= self._max_watches and self._watches_of[party] >= max(
                1, self._max_watches // parties
            ):
                raise TooManyRequests("Too many health watches.", retry_after=_RETRY_AFTER)
            self._watches.add(watch)
            self._watches_of[party] += 1

    def _forget(self, watch: "_Watch", party: str) -> None:
        with self._lock:
            self._watches.discard(watch)
            self._watches_of[party] -= 1
            if not self._watches_of[party]:
                del self._watches_of[party]


class _Watch:
    """A call of `Watch`.

    Args:
        status: The status to send.
        send: Sends a response, or ends the call.
        cancel: Cancels a call whose responses cannot be sent.
        run: Runs a function in a thread; returns False if too many functions wait.
    """

    def __init__(
        self,
        status: Callable[[], _Status],
        send: _Send,
        cancel: Callable[[], object],
        run: Callable[[Callable[[], None]], bool],
    ) -> None:
        self._status = status
        self._send = send
        self._cancel = cancel
        self._run = run
        self._sent: int | None = None
        self._ends = False
        self._sends = threading.Lock()

    def notify(self) -> None:
        """Schedules the sending of the status if it has changed."""
        if self._status() != self._sent and not self._run(self.send_changes):
            self._cancel()

    def end(self) -> None:
        """Ends the call after the last change is sent."""
        self._ends = True
        if not self._run(self.send_changes):
            self._cancel()

    def send_changes(self) -> None:
        """Sends changes in this thread, unless another thread does."""
        while self._has_changes() and self._sends.acquire(blocking=False):
            try:
                self._send_once()
            finally:
                self._sends.release()

    def _has_changes(self) -> bool:
        return self._ends or self._status() != self._sent

    def _send_once(self) -> None:
        status = self._status()
        if status != self._sent:
            self._sent = status
            self._send(health_pb2.HealthCheckResponse(status=status))
        elif self._ends:
            self._send(None)
            self._ends = False
