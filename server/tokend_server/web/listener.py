"""An HTTP listener: uvicorn on a socket of its own, in a thread of its own."""

import logging
import threading
from collections.abc import Sequence
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from tokend_server.listening import open_sockets, with_port

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
        self.sockets = open_sockets(setting, address)
        self.address = with_port(address, self.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Gives the address up."""
        for each in self.sockets:
            each.close()


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
            target=self._server.run, kwargs={"sockets": list(bound.sockets)}, name=f"http {bound.address}", daemon=True
        )

    def start(self) -> Self:
        """Begins to serve; the socket already accepts connections."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Finishes the requests in flight and ends the thread."""
        self._server.should_exit = True
        self._thread.join()
