"""All threads that work on calls: which methods have threads of their own."""

from contextlib import ExitStack

from grpc_health.v1 import health

from tokend_server.clock import Clock
from tokend_server.config import Grpc
from tokend_server.rpc.interceptors.layers import Method
from tokend_server.rpc.worker_pool import OnSkipped, Refuse, WorkerPool

#: How many streams are worked on at once; those whose clients are silent have their threads replaced.
_STREAM_THREADS = 2

#: How many silent streams keep a thread before the oldest of them is cancelled.
_SPARE_STREAM_THREADS = 16

#: How many streams of reflection there are, before further ones are refused.
_MOST_STREAMS = 100

#: At least as many calls may be silent as any connection has.
_LEAST_SPARE_THREADS = 32


class CallThreads:
    """The threads of calls, of streams, and of health watches, none of which wait for the others.

    Args:
        config: How many.
        most_calls: How many calls wait or are worked on before further ones are refused.
        clock: Measures pauses.
        refuse: Refuses a call.
        on_skipped: Called for each call that is never worked on.

    Raises:
        RuntimeError: The operating system has no more threads.
    """

    def __init__(self, config: Grpc, most_calls: int, clock: Clock, refuse: Refuse, on_skipped: OnSkipped) -> None:
        with ExitStack() as undo:

            def pool(workers: int, most: int, spare: int, name: str) -> WorkerPool:
                made = WorkerPool(workers, most, clock, refuse=refuse, on_skipped=on_skipped, spare=spare, name=name)
                undo.callback(made.shutdown)
                return made

            self.calls = pool(config.threads, most_calls, max(2 * config.threads, _LEAST_SPARE_THREADS), "grpc")
            self.streams = pool(_STREAM_THREADS, _MOST_STREAMS, _SPARE_STREAM_THREADS, "grpc-stream")
            self.watches = pool(_STREAM_THREADS, config.max_connections, _SPARE_STREAM_THREADS, "grpc-watch")
            self._undo = undo.pop_all()

    def of(self, method: Method) -> WorkerPool:
        """What works on the calls of a method."""
        if not method.answers_with_stream:
            return self.calls
        return self.watches if method.service == health.SERVICE_NAME else self.streams

    def shutdown(self) -> None:
        """Ends them."""
        self._undo.close()
