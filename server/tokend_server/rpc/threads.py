"""The threads that work on calls, and the assignment of methods to them."""

from contextlib import ExitStack

from grpc_health.v1 import health

from tokend_server.clock import Clock
from tokend_server.config import Grpc
from tokend_server.rpc.interceptors.layers import Method
from tokend_server.rpc.worker_pool import OnSkipped, Refuse, WorkerPool

#: The number of streams that run at once; threads of streams whose clients are silent are replaced.
_STREAM_THREADS = 2

#: The number of silent streams that keep a thread before the oldest is cancelled.
_SPARE_STREAM_THREADS = 16

#: The maximum number of streams of reflection.
_MAX_STREAMS = 100

#: The minimum number of spare threads: as many calls may be silent as a connection may have.
_MIN_SPARE_THREADS = 32


class CallThreads:
    """Separate threads for calls, for streams and for health watches.

    Args:
        config: The numbers of threads.
        max_calls: The maximum number of calls that wait or run.
        clock: Measures pauses.
        refuse: Refuses a call.
        on_skipped: Called for each call that ends before any work on it.

    Raises:
        RuntimeError: The operating system refuses to start another thread.
    """

    def __init__(self, config: Grpc, max_calls: int, clock: Clock, refuse: Refuse, on_skipped: OnSkipped) -> None:
        with ExitStack() as undo:

            def pool(workers: int, max_tasks: int, spare: int, name: str) -> WorkerPool:
                made = WorkerPool(
                    workers, max_tasks, clock, refuse=refuse, on_skipped=on_skipped, spare=spare, name=name
                )
                undo.callback(made.shutdown)
                return made

            self.calls = pool(config.threads, max_calls, max(2 * config.threads, _MIN_SPARE_THREADS), "grpc")
            self.streams = pool(_STREAM_THREADS, _MAX_STREAMS, _SPARE_STREAM_THREADS, "grpc-stream")
            self.watches = pool(_STREAM_THREADS, config.max_connections, _SPARE_STREAM_THREADS, "grpc-watch")
            self._undo = undo.pop_all()

    def of(self, method: Method) -> WorkerPool:
        """Returns the threads for the calls of a method."""
        if not method.has_response_stream:
            return self.calls
        return self.watches if method.service == health.SERVICE_NAME else self.streams

    def shutdown(self) -> None:
        """Stops all threads."""
        self._undo.close()
