"""The SDS listeners: an event loop in its own thread, and threads for blocking work."""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, TypeVar

import grpc

from tokend_server.access.build import AccessControl
from tokend_server.clock import Clock, SystemClock
from tokend_server.config import Grpc, Listener, Sds
from tokend_server.failures import exception_members
from tokend_server.mesh.admission import CallAdmission
from tokend_server.mesh.async_calls import AsyncBehavior
from tokend_server.mesh.sds_health import SdsHealth
from tokend_server.mesh.sds_service import SdsService
from tokend_server.mesh.secrets_watch import Secrets
from tokend_server.mesh.stream_calls import stream_context
from tokend_server.mesh.stream_places import StreamPlaces
from tokend_server.metrics import Metrics
from tokend_server.rpc.connection_guard import ConnectionGuard, is_guarded
from tokend_server.rpc.interceptors.layers import Method, OtherMethods
from tokend_server.rpc.policy import Rule, rules
from tokend_server.rpc.ports import Ports, client_certificates
from tokend_server.rpc.readiness import Reachability
from tokend_server.rpc.server import server_options

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

#: The maximum number of streams on a connection: Envoy opens one for each secret.
_STREAMS_OF_CONNECTION = 1000

#: The number of callers being identified, from which on parties that use their share are refused.
_MAX_UNIDENTIFIED = 1000

#: Seconds between two checks for due work.
_TICK = 0.5


class EventLoop:
    """An event loop in its own thread, and threads for blocking work.

    Args:
        threads: The number of threads.
    """

    def __init__(self, threads: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_log_defect)
        self._workers = ThreadPoolExecutor(threads, "sds-worker")
        self._start_threads(threads)
        self._thread = threading.Thread(target=self._loop.run_forever, name="sds", daemon=True)
        self._thread.start()

    def run_coroutine_threadsafe(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Runs a coroutine, and returns its result; called from other threads."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def call_soon_threadsafe(self, act: Callable[[], object]) -> None:
        """Schedules a non-blocking function, and returns at once."""
        self._loop.call_soon_threadsafe(act)

    async def run_in_thread(self, work: Callable[[], _Result]) -> _Result:
        """Runs blocking work in a thread; called within the loop."""
        return await self._loop.run_in_executor(self._workers, work)

    def call_later(self, seconds: float, act: Callable[[], object]) -> None:
        """Schedules a non-blocking function for later; called within the loop."""
        self._loop.call_later(seconds, act)

    def stop(self) -> None:
        """Stops the loop and its threads."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._loop.close()

    def _start_threads(self, threads: int) -> None:
        """Starts all threads now, so that they are available later: a pool starts them only when there is work."""
        barrier = threading.Barrier(threads + 1)
        for _ in range(threads):
            self._workers.submit(barrier.wait)
        barrier.wait()


class SdsServer:
    """The SDS listeners.

    Args:
        config: Addresses and limits.
        grpc_config: The limits of connections on all gRPC listeners.
        loop: The event loop.
        service: The secret discovery service.
        health: The health service.
        secrets: The secrets, whose renewals become due.
        access: Access control.
        guard: Guards its connections.
        metrics: The metrics of TLS files and refusals.
        count_unknown: Called for each call to an unknown method.
        clock: The time.

    Raises:
        ConfigError: A listener cannot listen on its address, or its files cannot be used.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all its parts
        self,
        config: Sds,
        grpc_config: Grpc,
        loop: EventLoop,
        service: SdsService,
        health: SdsHealth,
        secrets: Secrets,
        access: AccessControl,
        guard: ConnectionGuard,
        metrics: Metrics,
        count_unknown: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._config = config
        self._grpc = grpc_config
        self._loop = loop
        self._service = service
        self._health = health
        self._secrets = secrets
        self._access = access
        self._guard = guard
        self._count_unknown = count_unknown
        refused = metrics.calls_refused.labels("sds_streams").inc
        self._unnamed = StreamPlaces(_MAX_UNIDENTIFIED, _MAX_UNIDENTIFIED, refused)
        self._ports = Ports("sds", metrics)
        self._clock = clock
        self._ticked = SystemClock.monotonic()
        self._is_stopped = False
        self._servers: list[grpc.aio.Server] = []
        self._ticking: asyncio.Task[None] | None = None
        with ExitStack() as undo:
            undo.callback(self.stop, 0)
            self.addresses: tuple[str, ...] = loop.run_coroutine_threadsafe(self._open())
            undo.pop_all()

    def start(self) -> None:
        """Starts to serve."""
        self._loop.run_coroutine_threadsafe(self._start())

    def set_serving(self, serving: bool, /) -> None:  # noqa: FBT001 - as Readiness calls it
        """Sets the status that grpc.health.v1 reports."""
        self._loop.call_soon_threadsafe(lambda: self._health.set_serving(serving=serving))

    def reload_tls_files(self) -> None:
        """Reloads TLS files that have changed; new connections do so too."""
        self._ports.reload_tls_files()

    def enter_graceful_shutdown(self) -> None:
        """Sets the status that grpc.health.v1 reports to NOT_SERVING permanently."""
        self._loop.call_soon_threadsafe(self._health.enter_graceful_shutdown)

    def reachability(self) -> Sequence[Reachability]:
        """Returns for each address how long the loop has made no progress."""
        silent = max(0.0, SystemClock.monotonic() - self._ticked - _TICK)
        return [Reachability(address, silent, silent, "sds") for address in self.addresses]

    def stop(self, grace: float) -> None:
        """Ends all streams gracefully, and returns when they have ended, at the latest after `grace` seconds."""
        if not self._is_stopped:
            self._is_stopped = True
            self._loop.run_coroutine_threadsafe(self._stop(grace))
            self._loop.stop()

    async def _open(self) -> tuple[str, ...]:
        return tuple([self._listen(listener) for listener in self._config.all_listeners])

    def _listen(self, listener: Listener) -> str:
        certificates = client_certificates(listener, self._clock)
        held_to = self._grpc.model_copy(
            update={
                "max_connections": self._config.max_connections,
                "max_connection_age_seconds": self._config.max_connection_age_seconds,
                "max_concurrent_streams": _STREAMS_OF_CONNECTION,
            }
        )
        server = grpc.aio.server(options=server_options(held_to))
        admission = CallAdmission(
            listener,
            self._rules(),
            self._access,
            certificates,
            self._guard,
            self._unnamed,
            self._loop.run_in_thread,
            self._grpc.max_metadata_bytes,
            self._clock,
        )
        server.add_generic_rpc_handlers(
            (
                self._service.handlers(admission),
                self._health.handlers(admission),
                OtherMethods(self._unknown_method(admission), {}),
            )
        )
        self._servers.append(server)
        opened = self._ports.open(server, listener, certificates)
        if is_guarded(listener):
            self._guard.add_listener(opened.port, self._config.max_connections)
        return opened.listen

    def _rules(self) -> Mapping[Method, Rule]:
        of_health = rules(self._grpc)
        return {
            **dict.fromkeys(self._service.methods, Rule.IDENTITY),
            **{method: of_health[method.path] for method in self._health.methods},
        }

    def _unknown_method(self, admission: CallAdmission) -> AsyncBehavior:
        async def not_found(_requests: object, context: Any) -> None:  # noqa: ANN401 - grpcio's own class is private
            admission.record_arrival(stream_context(context))
            self._count_unknown()
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")

        return not_found

    async def _start(self) -> None:
        for server in self._servers:
            await server.start()
        self._secrets.tick()
        self._ticking = asyncio.get_running_loop().create_task(self._tick_at_intervals())

    async def _tick_at_intervals(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            try:
                self._secrets.tick()
            except Exception as error:  # noqa: BLE001 - the loop must continue after any error
                _log.error("internal error", extra=exception_members(type(error), error.__traceback__))
            self._ticked = SystemClock.monotonic()

    async def _stop(self, grace: float) -> None:
        self._service.end_streams()
        self._health.end_watches()
        await asyncio.gather(*(server.stop(grace) for server in self._servers))
        if self._ticking:
            self._ticking.cancel()
            await asyncio.wait([self._ticking])
        await self._secrets.tokens.stop()


def _log_defect(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    described = exception_members(type(error), error.__traceback__) if error else {}
    _log.error("internal error", extra={"what": context.get("message", ""), **described})
