"""HTTP/1.1 listeners, each in a thread of its own; server/decisions/http-stack.md says why they are tokend's own."""

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
from tokend_server.web.tls import FollowingContext

#: Connections that the kernel keeps until they are accepted.
_BACKLOG = 1024

#: Connections that are accepted before those accepted earlier are read from. A newcomer is read from within three
#: such turns, so that many have to be fewer than there may be connections.
_ACCEPTED_AT_ONCE = 32

#: Seconds that requests in flight have to finish when the listener stops.
_SHUTDOWN_TIMEOUT = 5.0


class BoundAddress:
    """An address that is taken before anything is served on it, so that its port is known.

    Args:
        setting: The setting that it comes from, for the error.
        address: HOST:PORT; port 0 takes a free one.

    Raises:
        ConfigError: The address cannot be listened on.
    """

    def __init__(self, setting: str, address: str) -> None:
        self.sockets = open_sockets(setting, address)
        self.address = with_port(address, self.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Gives the address up."""
        for each in self.sockets:
            each.close()


class HttpListener:
    """Serves an application on a bound address until it is stopped, in a thread of its own.

    Args:
        bound: Where.
        application: What answers.
        clock: What dates the answers.
        patience: Seconds that a client has, from connecting or from its last answer, to take that and send a whole
            request. It is the timeout of headers, of slow reading and of idle connections at once.
        most_connections: How many there may be; one more takes the place of the one that has got nothing for longest.
        most_body_bytes: How many bytes of bodies there may be, of all requests together; beyond it the connection with
            the largest is dropped.
        tls: TLS, if there is any.
    """

    def __init__(  # noqa: PLR0913 - its bounds
        self,
        bound: BoundAddress,
        application: Application,
        clock: Clock | None = None,
        *,
        patience: float = 10.0,
        most_connections: int = 256,
        most_body_bytes: int = 1 << 26,
        tls: FollowingContext | None = None,
    ) -> None:
        self._sockets = bound.sockets
        self._application = application
        self._date = _date_header(clock or SystemClock())
        self._connections = Connections(most_connections, most_body_bytes, patience)
        self._tls = tls
        self._most_connections = most_connections
        self._patience = patience
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=f"http {bound.address}", daemon=True)

    def start(self) -> Self:
        """Begins to serve; the socket already accepts connections."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Finishes the requests in flight and ends the thread."""
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
            most_handshakes=self._most_connections,
            handshake_timeout=self._patience,
        )
        bound.listen(_BACKLOG)
        acceptor.start()
        return acceptor


def _date_header(clock: Clock) -> Callable[[], bytes]:
    """Renders the `date` header (RFC 9110, section 6.6.1), once a second at most."""
    rendered = (0, b"")

    def date() -> bytes:
        nonlocal rendered
        second = int(clock.now())
        if second != rendered[0]:
            rendered = second, f"date: {formatdate(second, usegmt=True)}\r\n".encode()
        return rendered[1]

    return date
