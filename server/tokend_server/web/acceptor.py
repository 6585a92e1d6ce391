"""Takes the connections of a listening socket, also when there are no descriptors left."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress

#: What says that the process, or the machine, can open nothing more (accept(2)).
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

#: Seconds until connections are taken again, and between two warnings.
_PAUSE, _WARNING_SECONDS = 1.0, 60.0

_log = logging.getLogger(__name__)


class Acceptor:
    """Takes connections in turns of a few, so that those accepted earlier are read from.

    asyncio's own server logs a traceback for each connection that it cannot have, thousands a second. This one keeps
    a descriptor in hand: without any other, one connection at a time is still answered, such as a probe's.

    Args:
        listening: The socket, which stays its owner's.
        protocol: Makes the protocol of a connection.
        at_once: How many connections are taken in a turn.
    """

    def __init__(self, listening: socket.socket, protocol: Callable[[], asyncio.Protocol], at_once: int) -> None:
        self._listening = listening
        self._protocol = protocol
        self._at_once = at_once
        self._loop = asyncio.get_running_loop()
        self._spare: int | None = None
        self._warn_at = 0.0
        self._tasks: set[asyncio.Task[object]] = set()
        self._retry: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begins to take connections."""
        self._listening.settimeout(0)
        self._keep_spare()
        self._loop.add_reader(self._listening, self._take)

    def stop(self) -> None:
        """Takes no more."""
        self._loop.remove_reader(self._listening)
        if self._retry:
            self._retry.cancel()
        self._give_spare()

    def _take(self) -> None:
        for _ in range(self._at_once):
            try:
                connection, _address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._cannot(error)
                return
            self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        connection.settimeout(0)
        task: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(self._protocol, connection)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _cannot(self, error: OSError) -> None:
        if self._loop.time() >= self._warn_at:
            self._warn_at = self._loop.time() + _WARNING_SECONDS
            _log.warning("connections cannot be accepted", extra={"error": error.strerror})
        self._loop.remove_reader(self._listening)
        self._retry = self._loop.call_later(_PAUSE, self._take_again)
        if error.errno in _EXHAUSTED and self._give_spare():
            with suppress(OSError):
                self._begin(self._listening.accept()[0])

    def _take_again(self) -> None:
        self._keep_spare()
        self._loop.add_reader(self._listening, self._take)

    def _keep_spare(self) -> None:
        if self._spare is None:
            with suppress(OSError):
                self._spare = os.open(os.devnull, os.O_RDONLY)

    def _give_spare(self) -> bool:
        spare, self._spare = self._spare, None
        if spare is not None:
            os.close(spare)
        return spare is not None
