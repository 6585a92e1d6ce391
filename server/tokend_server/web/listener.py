"""An HTTP listener: uvicorn on a socket of its own, in a thread of its own."""

import logging
import socket
import threading
from collections.abc import Sequence
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from tokend_server.config import ConfigError, host_and_port

#: Seconds that requests in flight have to finish when the listener stops.
_SHUTDOWN_TIMEOUT = 5


class BoundAddress:
    """An address that is taken before anything is served on it, so that its port is known.

    Args:
        setting: The setting that it comes from, for the error.
        address: HOST:PORT; port 0 takes a free one.

    Raises:
        ConfigError: The address cannot be listened on.
    """

    def __init__(self, setting: str, address: str) -> None:
        host, port = host_and_port(address)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self.socket = socket.create_server((host, port), family=family, backlog=512)
        except OSError as error:
            raise ConfigError([f"{setting}: cannot listen on {address}: {error.strerror}"]) from error
        taken = self.socket.getsockname()[1]
        self.address = f"[{host}]:{taken}" if family is socket.AF_INET6 else f"{host}:{taken}"

    def close(self) -> None:
        """Gives the address up."""
        self.socket.close()


class HttpListener:
    """Serves routes on a bound address until it is stopped."""

    def __init__(self, bound: BoundAddress, routes: Sequence[Route]) -> None:
        application = Starlette(routes=routes)
        application.router.redirect_slashes = False  # a redirect would name whatever host the request claims
        config = uvicorn.Config(
            application,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [bound.socket]}, name=f"http {bound.address}", daemon=True
        )

    def start(self) -> Self:
        """Begins to serve; the socket already accepts connections."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Finishes the requests in flight and ends the thread."""
        self._server.should_exit = True
        self._thread.join()
