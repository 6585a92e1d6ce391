"""Accepts the connections of a listening socket, even if there are no free descriptors."""

import asyncio
import errno
import logging
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import TypedDict

from tokend_server.web.tls import ReloadedContext

#: Errors that mean that the process or the machine has no free descriptors or memory (accept(2)).
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

#: Seconds until connections are accepted again, and between two warnings.
_PAUSE, _WARNING_SECONDS = 1.0, 60.0

_log = logging.getLogger(__name__)


class _Handshake(TypedDict, total=False):
    """The parameters of a handshake for asyncio."""

    ssl: ssl.SSLContext
    ssl_handshake_timeout: float


class Acceptor:
    """Accepts connections in small batches, so that earlier connections are read in between.

    asyncio's own server logs a traceback for each connection that it cannot accept, thousands a second. This one keeps
    a spare descriptor: if there is no other, one connection at a time is still answered, such as a probe's.

    A connection with TLS gets its protocol after the handshake. The number of handshakes is limited too: a new one
    replaces the oldest.

    Args:
        listening: The socket, which its owner closes.
        protocol: Makes the protocol of a connection.
        at_once: The number of connections in a batch.
        tls: The TLS context, if TLS is used.
        max_handshakes: The maximum number of concurrent handshakes.
        handshake_timeout: The timeout of a handshake in seconds.
    """

    def __init__(  # noqa: PLR0913 - its limits
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        at_once: int,
        tls: ReloadedContext | None = None,
        *,
        max_handshakes: int = 256,
        handshake_timeout: float = 10.0,
    ) -> None:
        self._listening = listening
        self._protocol = protocol
        self._at_once = at_once
        self._tls = tls
        self._max_handshakes = max_handshakes
        self._handshake_timeout = handshake_timeout
        self._loop = asyncio.get_running_loop()
        self._spare: int | None = None
        self._warn_at = 0.0
        self._pending: dict[asyncio.Task[object], socket.socket] = {}
        self._retry: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Starts to accept connections."""
        self._listening.settimeout(0)
        self._reserve_spare()
        self._loop.add_reader(self._listening, self._accept)

    def stop(self) -> None:
        """Stops accepting connections."""
        self._loop.remove_reader(self._listening)
        if self._retry:
            self._retry.cancel()
        self._release_spare()

    def _accept(self) -> None:
        for _ in range(self._at_once):
            try:
                connection, _address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause_accepting(error)
                return
            self._start_connection(connection)

    def _start_connection(self, connection: socket.socket) -> None:
        connection.settimeout(0)
        task: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(self._protocol, connection, **self._handshake())
        )
        self._pending[task] = connection
        task.add_done_callback(self._on_connected)
        if self._tls and len(self._pending) > self._max_handshakes:
            self._abort_oldest_handshake()

    def _handshake(self) -> _Handshake:
        if self._tls is None:
            return {}
        return {"ssl": self._tls.for_handshake(), "ssl_handshake_timeout": self._handshake_timeout}

    def _abort_oldest_handshake(self) -> None:
        connection = self._pending.pop(next(iter(self._pending)))
        with suppress(OSError):  # the client has disconnected
            connection.shutdown(socket.SHUT_RDWR)  # cancelling its task could leave the connection open

    def _on_connected(self, task: asyncio.Task[object]) -> None:
        self._pending.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error and not isinstance(error, OSError):  # OSErrors, such as failed handshakes, end only one connection
            _log.error("a connection could not be started", exc_info=error)

    def _pause_accepting(self, error: OSError) -> None:
        if self._loop.time() >= self._warn_at:
            self._warn_at = self._loop.time() + _WARNING_SECONDS
            _log.warning("connections cannot be accepted", extra={"error": error.strerror})
        self._loop.remove_reader(self._listening)
        self._retry = self._loop.call_later(_PAUSE, self._resume)
        if error.errno in _EXHAUSTED and self._release_spare():
            with suppress(OSError):
                self._start_connection(self._listening.accept()[0])

    def _resume(self) -> None:
        self._reserve_spare()
        self._loop.add_reader(self._listening, self._accept)

    def _reserve_spare(self) -> None:
        if self._spare is None:
            with suppress(OSError):
                self._spare = os.open(os.devnull, os.O_RDONLY)

    def _release_spare(self) -> bool:
        spare, self._spare = self._spare, None
        if spare is not None:
            os.close(spare)
        return spare is not None
