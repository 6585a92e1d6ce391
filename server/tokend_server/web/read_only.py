"""A listener for what is only read: the keys, the metrics and the probes.

uvicorn has no limit on the time that headers take, and its answer costs several times what a rendered document
should: a few thousand requests a second would take the interpreter from the calls. This one parses with httptools and
writes what is rendered.
"""

import asyncio
import socket
import threading
from collections.abc import Callable
from email.utils import formatdate
from typing import Self

from tokend_server.clock import Clock, SystemClock
from tokend_server.web.acceptor import Acceptor
from tokend_server.web.connection import Connection, Connections
from tokend_server.web.listener import BoundAddress
from tokend_server.web.site import Site

#: Connections that the kernel keeps until they are accepted.
_BACKLOG = 1024

#: Connections that are accepted before those accepted earlier are read from. A newcomer is read from within three
#: such turns, so that many have to be fewer than there may be connections.
_ACCEPTED_AT_ONCE = 32

#: Seconds that requests in flight have to finish when the listener stops.
_SHUTDOWN_TIMEOUT = 5.0


class ReadOnlyListener:
    """Serves pages on a bound address until it is stopped, in a thread of its own.

    Args:
        bound: Where.
        site: What there is to show.
        clock: What dates the answers.
        patience: Seconds that a client has, from connecting or from its last answer, to send a whole request and take
            the answer. It is the timeout of headers, of slow reading and of idle connections at once.
        most_connections: How many there may be; one more takes the place of the one that has got nothing for longest.
    """

    def __init__(
        self,
        bound: BoundAddress,
        site: Site,
        clock: Clock | None = None,
        *,
        patience: float = 10.0,
        most_connections: int = 256,
    ) -> None:
        self._sockets = bound.sockets
        self._site = site
        self._date = _date_header(clock or SystemClock())
        self._connections = Connections(most_connections, patience)
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
            bound, lambda: Connection(self._site, self._connections, self._date), at_once=_ACCEPTED_AT_ONCE
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
