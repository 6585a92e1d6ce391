"""A listener of sockets, with a guard of its connections."""

import socket
from collections.abc import Callable
from contextlib import ExitStack

from tests.fakes.clock import FakeClock

from tokend_server.rpc.connection_guard import ConnectionGuard
from tokend_server.rpc.peers import peer_name

MOST = 16

#: Seconds for a connection.
_TIMEOUT = 60.0


class GuardedListener:
    """A guard that checks on request, for a listener of this process.

    Args:
        undo: Closes its sockets.
        by: How the guard checks: `check_all`, or `check`, as it does by itself.
        most: The maximum number of connections.
    """

    check: Callable[[], bool]

    def __init__(self, undo: ExitStack, by: str = "check", most: int = MOST) -> None:
        self.clock = FakeClock()
        self.ended = 0
        self.guard = ConnectionGuard(8192, self._count, self.clock)
        self.check = getattr(self.guard, by)
        self._undo = undo
        self._listener = undo.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port: int = self._listener.getsockname()[1]
        self.guard.add_listener(self.port, most)

    def _count(self) -> None:
        self.ended += 1

    def connect(self, host: str = "127.0.0.1", within: float = _TIMEOUT) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), within, source_address=(host, 0))
        self._undo.enter_context(client)
        self._undo.enter_context(self._listener.accept()[0])
        self.clock.advance(0.001)
        self.check()
        return client


def name(client: socket.socket) -> str:
    return peer_name(client.getsockname())
