"""HTTP/1.1 listeners, each in its own thread; server/decisions/http-stack.md explains why they are tokend's own."""

import asyncio
import socket
import threading
from collections.abc import Callable
from email.utils import formatdate
from typing import Self

from tokend_server.clock import Clock, SystemClock
from tokend_server.process.listening import open_sockets, with_port
from tokend_server.web.acceptor import Acceptor
from tokend_server.web.connection import Connection, Connections
from tokend_server.web.message import Application
from tokend_server.web.tls import ReloadedContext

#: The number of connections in the kernel's accept queue.
_BACKLOG = 1024

#: The number of connections that are accepted before earlier ones are read. A new connection is read within three such
#: batches, which together must be less than the maximum number of connections.
_ACCEPTED_AT_ONCE = 32

#: Seconds for requests in flight to finish when the listener stops.
_SHUTDOWN_TIMEOUT = 5.0


class BoundAddress:
    """An address that is bound before it is served, so that its port is known.

    Args:
        setting: The setting with the address, for the error.
        address: HOST:PORT; port 0 selects a free port.

    Raises:
        ConfigError: The process cannot listen on the address.
    """

    def __init__(self, setting: str, address: str) -> None:
        self.sockets = open_sockets(setting, address)
        self.address = with_port(address, self.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Releases the address."""
        for each in self.sockets:
            each.close()


class HttpListener:
    """Serves an application on a bound address, in its own thread, until it is stopped.

    Args:
        bound: The address.
        application: Answers requests.
        clock: Dates responses.
        timeout: Seconds from the start of a connection, or from its last response, within which the client must read
            that response and send a whole request. It is the timeout of headers, of slow reads and of idle connections.
        max_connections: The maximum number of connections; a further one replaces the longest idle one.
        max_total_body_bytes: The maximum size in bytes of all requests' bodies; above it the connection with the
            largest body is dropped.
        tls: The TLS context, if TLS is used.
    """

    def __init__(  # noqa: PLR0913 - its limits
        self,
        bound: BoundAddress,
        application: Application,
        clock: Clock | None = None,
        *,
        timeout: float = 10.0,
        max_connections: int = 256,
        max_total_body_bytes: int = 1 << 26,
        tls: ReloadedContext | None = None,
    ) -> None:
        self._sockets = bound.sockets
        self._application = application
        self._date = _date_header(clock or SystemClock())
        self._connections = Connections(max_connections, max_total_body_bytes, timeout)
        self._tls = tls
        self._max_connections = max_connections
        self._timeout = timeout
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=f"http {bound.address}", daemon=True)

    def start(self) -> Self:
        """Starts to serve; the kernel already accepts connections."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Finishes the requests in flight and stops the thread."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        acceptors = [self._listen(each) for each in self._sockets]
        watch = asyncio.create_task(self._connections.drop_overdue())
        await self._stopped.wait()
        for acceptor in acceptors:
            acceptor.stop()
        for each in self._sockets:
            each.close()
        await self._connections.finish(_SHUTDOWN_TIMEOUT)
        watch.cancel()

    def _listen(self, bound: socket.socket) -> Acceptor:
        acceptor = Acceptor(
            bound,
            lambda: Connection(self._application, self._connections, self._date),
            _ACCEPTED_AT_ONCE,
            self._tls,
            max_handshakes=self._max_connections,
            handshake_timeout=self._timeout,
        )
        bound.listen(_BACKLOG)
        acceptor.start()
        return acceptor


def _date_header(clock: Clock) -> Callable[[], bytes]:
    """Returns a function that renders the `date` header (RFC 9110, section 6.6.1), at most once a second."""
    rendered = (0, b"")

    def date() -> bytes:
        nonlocal rendered
        second = int(clock.now())
        if second != rendered[0]:
            rendered = second, f"date: {formatdate(second, usegmt=True)}\r\n".encode()
        return rendered[1]

    return date
