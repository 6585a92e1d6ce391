"""The private interfaces of urllib3 that tokend uses: the creation of its connections' sockets."""

import socket
from collections.abc import Callable
from typing import Any, TypeAlias

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from tokend_server.final_responses import FinalResponse
from tokend_server.library_parts import require

#: Connects to a host and a port.
Connect: TypeAlias = Callable[[str, int], socket.socket]


def connect_by(manager: PoolManager, connect: Connect) -> None:
    """Makes a manager open all connections with a function; interim responses are ignored."""

    class Plain(HTTPConnection):
        response_class = FinalResponse

        def _new_conn(self) -> socket.socket:
            return connect(self.host, self.port)

    class Tls(HTTPSConnection):
        response_class = FinalResponse

        def _new_conn(self) -> socket.socket:
            return connect(self.host, self.port)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    manager.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}


class _ConnectCalled(Exception):
    """Raised when the function is called to connect."""


def _connects(url: str) -> bool:
    def connect(*arguments: Any) -> socket.socket:  # noqa: ANN401
        raise _ConnectCalled(*arguments)

    with PoolManager() as manager:
        connect_by(manager, connect)
        try:
            manager.request("GET", url, retries=False)
        except _ConnectCalled as error:
            return error.args == ("tokend.invalid", 1)
    return False


require(
    "urllib3",
    {
        "connections over sockets of others": lambda: _connects("http://tokend.invalid:1"),
        "TLS over sockets of others": lambda: _connects("https://tokend.invalid:1"),
    },
)
