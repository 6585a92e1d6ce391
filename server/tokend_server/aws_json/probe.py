"""Probes of the listener of Cognito's API, which show whether it answers callers."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from math import inf

from tokend_server.clock import Clock
from tokend_server.process.repeating import Repeating
from tokend_server.rpc.connection_check import accepts_connections, first_octet
from tokend_server.rpc.readiness import ProbeTimeouts, Reachability

#: A request that is answered without a signature and without a thread of calls (Fetch Standard, section 3.3.2).
_PREFLIGHT = b"OPTIONS / HTTP/1.1\r\nhost: tokend\r\nconnection: close\r\n\r\n"


def answers_requests(address: str, seconds: float) -> bool:
    """Returns whether a listener without TLS answers a request, or closes the connection because it has too many.

    Args:
        address: HOST:PORT.
        seconds: The timeout of each step in seconds.
    """
    return first_octet(address, seconds, _PREFLIGHT) in {b"H", b""}


class ListenerProbe:
    """Checks at intervals whether the listener accepts connections and its threads make progress.

    Args:
        listen: The name of the listener.
        address: The address at which this machine can reach it.
        threads: The threads of calls.
        clock: The time.
        timeouts: The timeouts of the threads and of connections.
        has_tls: Whether it uses TLS.
        interval: Seconds between two checks.
    """

    def __init__(  # noqa: PLR0913 - all its parts
        self,
        listen: str,
        address: str,
        threads: Executor,
        clock: Clock,
        timeouts: ProbeTimeouts,
        *,
        has_tls: bool,
        interval: float = 2.0,
    ) -> None:
        self._listen = listen
        self._threads = threads
        self._clock = clock
        self._timeouts = timeouts
        self._is_reached: Callable[[], bool] = (
            (lambda: accepts_connections(address, timeouts.ready, has_tls=True))
            if has_tls
            else (lambda: answers_requests(address, timeouts.ready))
        )
        self._answered = clock.monotonic()
        self._reached = -inf
        self._checks = Repeating(self.check, interval, f"probe {listen}")

    def start(self) -> None:
        """Checks now, and then at every interval."""
        self.check()
        self._checks.start()

    def stop(self) -> None:
        """Stops the checks."""
        self._checks.stop()

    def check(self) -> None:
        """Checks once; if the threads do not answer in time, no connection is tried."""
        try:
            self._threads.submit(lambda: None).result(self._timeouts.live)
        except (RuntimeError, TimeoutError):  # shut down, or busy
            return
        self._answered = self._clock.monotonic()
        if self._is_reached():
            self._reached = self._clock.monotonic()

    def reachability(self) -> Sequence[Reachability]:
        """Returns how long ago the listener last passed."""
        now = self._clock.monotonic()
        return [Reachability(self._listen, now - self._answered, now - self._reached, "aws")]
