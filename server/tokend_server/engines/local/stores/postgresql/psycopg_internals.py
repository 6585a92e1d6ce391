"""The private interfaces of psycopg that tokend uses: the method in which connections wait, and the timeout's error."""

import socket
from typing import TypeVar

import psycopg
from psycopg import errors, waiting
from psycopg.abc import PQGen

from tokend_server.library_parts import require

_Result = TypeVar("_Result")

#: Raised when a wait times out.
WAIT_TIMEOUT: type[psycopg.Error] = errors._WaitTimeout


def wait(gen: PQGen[_Result], connection: psycopg.Connection, interval: float, timeout: float | None) -> _Result:
    """Sends and receives data of a connection, in place of `Connection.wait`.

    When a signal interrupts it, it does not cancel the statement on the server, unlike `Connection.wait`.

    Raises:
        WAIT_TIMEOUT: It took longer than `timeout` seconds.
    """
    return waiting.wait(gen, connection.pgconn.socket, interval=interval, timeout=timeout)


def _waits_in_one_method() -> bool:
    using = (psycopg.Connection.commit, psycopg.Connection.rollback, psycopg.Cursor.execute)
    return all("wait" in method.__code__.co_names for method in using)


def _ends_a_wait() -> bool:
    def silent() -> PQGen[None]:
        while True:
            yield waiting.Wait.R

    receiver, sender = socket.socketpair()
    with receiver, sender:
        try:
            waiting.wait(silent(), receiver.fileno(), interval=0.001, timeout=0.001)
        except WAIT_TIMEOUT:
            return True
    return False


require(
    "psycopg",
    {
        "one method in which connections wait": _waits_in_one_method,
        "an error that ends a wait": _ends_a_wait,
    },
)
