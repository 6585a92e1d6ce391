"""Probes: tokend's calls to itself, which show whether it answers callers.

HTTP requests for /livez are answered by a thread that does not serve calls. Therefore each listener is called at
regular intervals. The call passes through the gRPC thread of the listener, the queue and the threads of calls. Its path
contains a random number, so that only tokend can make it. It bypasses the layers: no limit applies to it, and it
appears neither in the metrics nor in the audit log.
"""

import logging
import os
import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc

from tokend_server.clock import Clock
from tokend_server.config.addresses import UNIX
from tokend_server.process.private_directory import private_directory
from tokend_server.rpc.connection_check import accepts_connections
from tokend_server.rpc.ports import url_of
from tokend_server.rpc.readiness import Reachability

_log = logging.getLogger(__name__)

#: Seconds that `stop` waits for a running probe.
_JOINING_SECONDS = 1.0

#: The maximum length of the directory's path in octets; it leaves room for the name of the socket.
_MAX_DIRECTORY_BYTES = 97

#: The prefix of the names of directories for sockets.
_PREFIX = "tokend-probes-"

#: Directories in which a socket may be created; /dev/shm is writable even if the root file system is read-only.
_DIRECTORIES = (None, "/dev/shm")  # noqa: S108 - a private directory is created in it

#: A new connection for each call, without a proxy.
_OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))


class ProbeMethod:
    """The method that probes call.

    Args:
        refuses: Returns whether the current thread only refuses calls, in which case the probe fails.
    """

    def __init__(self, refuses: Callable[[], bool]) -> None:
        self.path = f"/tokend.Probe/{secrets.token_hex(16)}"
        self._refuses = refuses
        self.handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self._answer)

    def _answer(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        if self._refuses():
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many calls at once.")
        return request


class PrivateDirectory:
    """A directory for sockets that only this user can access, if it can be created.

    Attributes:
        path: Its path.
    """

    def __init__(self) -> None:
        self._undo = ExitStack()
        self.path = next(filter(None, map(self._create_in, _DIRECTORIES)), None)

    def socket(self, name: str) -> Path | None:
        """Returns the path of a socket in it."""
        return self.path / name if self.path else None

    def close(self) -> None:
        """Removes it."""
        self._undo.close()

    def _create_in(self, parent: str | None) -> Path | None:
        with suppress(OSError), ExitStack() as undo:
            path = undo.enter_context(private_directory(_PREFIX, parent))
            if len(os.fsencode(path)) <= _MAX_DIRECTORY_BYTES:
                self._undo = undo.pop_all()
                return path
        return None


@dataclass(frozen=True, slots=True)
class Target:
    """A listener as a target of probes.

    Attributes:
        listen: The name of the listener.
        address: The address at which this machine can reach it.
        has_tls: Whether it uses TLS.
        private: A socket of the same server without TLS, which does not count among the listener's connections.
    """

    listen: str
    address: str
    has_tls: bool
    private: Path | None


class Prober:
    """Probes listeners, each in its own thread.

    Args:
        targets: The listeners.
        path: The path of the method to call.
        clock: The clock.
        call_timeout: The timeout of a call, in seconds.
        connection_timeout: The timeout of a connection, in seconds.
        interval: Seconds between two probes.
    """

    def __init__(  # noqa: PLR0913
        self,
        targets: Sequence[Target],
        path: str,
        clock: Clock,
        *,
        call_timeout: float,
        connection_timeout: float,
        interval: float,
    ) -> None:
        self._clock = clock
        self._path = path
        self._call_timeout = call_timeout
        self._connection_timeout = connection_timeout
        self._interval = interval
        self._answered = {target.listen: clock.monotonic() for target in targets}
        self._reached = {target.listen: float("-inf") for target in targets}
        self._stopped = threading.Event()
        self._probed_once = threading.Semaphore(0)
        self._threads = [
            threading.Thread(
                target=self._probe_at_intervals, args=(target,), name=f"probe {target.listen}", daemon=True
            )
            for target in targets
        ]

    def start(self) -> None:
        """Starts to probe; returns when each listener was probed once or timed out."""
        for thread in self._threads:
            thread.start()
        for _ in self._threads:
            self._probed_once.acquire(timeout=self._connection_timeout)

    def stop(self) -> None:
        """Stops the probes."""
        self._stopped.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_JOINING_SECONDS)

    def reachability(self) -> list[Reachability]:
        """Returns how long ago each listener last passed."""
        now = self._clock.monotonic()
        return [Reachability(name, now - self._answered[name], now - self._reached[name]) for name in self._answered]

    def _probe_at_intervals(self, target: Target) -> None:
        self._probe_and_log(target)
        self._probed_once.release()
        while not self._stopped.wait(self._interval):
            self._probe_and_log(target)

    def _probe_and_log(self, target: Target) -> None:
        try:
            self._probe(target)
        except Exception:  # noqa: BLE001 - a prober must continue after any error
            _log.exception("a probe failed", extra={"listen": target.listen})

    def _probe(self, target: Target) -> None:
        if target.private and target.private.exists():
            if not self._call(f"{UNIX}{target.private}", self._call_timeout):
                return
            self._answered[target.listen] = self._clock.monotonic()
        elif not target.has_tls and not self._call(target.address, self._connection_timeout):
            return
        if accepts_connections(target.address, self._connection_timeout, has_tls=target.has_tls):
            self._answered[target.listen] = self._reached[target.listen] = self._clock.monotonic()

    def _call(self, address: str, seconds: float) -> bool:
        with grpc.insecure_channel(url_of(address), _OPTIONS) as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(self._path)
            try:
                call(b"", timeout=seconds)
            except grpc.RpcError:
                return False
        return True
