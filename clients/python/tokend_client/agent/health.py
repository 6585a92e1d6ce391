"""Readiness, the state of each token, and metrics, over HTTP."""

import json
import socket
import stat
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn, UnixStreamServer
from typing import Any, TypeAlias
from urllib.parse import unquote

from tokend_client.agent.configuration import Health
from tokend_client.agent.formats import rfc3339
from tokend_client.agent.keeper import Status

#: Seconds for a client's request and its response.
_REQUEST_TIMEOUT = 5.0

#: Concurrent connections; others wait in the socket's backlog.
_MAX_CONNECTIONS = 16

_METRICS = "text/plain; version=0.0.4; charset=utf-8"

_Answer: TypeAlias = tuple[HTTPStatus, str, bytes]


class HealthServer:
    """Serves in a separate thread, once it is started.

    Args:
        settings: The address.
        statuses: Returns the current status of each token.
        metrics: Returns the page of metrics.
        request_timeout: Seconds for a client's request and its response.

    Raises:
        OSError: The address cannot be used.
    """

    def __init__(
        self,
        settings: Health,
        statuses: Callable[[], Sequence[Status]],
        metrics: Callable[[], bytes],
        *,
        request_timeout: float = _REQUEST_TIMEOUT,
    ) -> None:
        self._statuses = statuses
        self._metrics = metrics
        self._socket_path = settings.socket_path
        self._server = _server(settings, self._answer)
        self._server.request_timeout = request_timeout
        self._address = self._bound_address()
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="health", daemon=True
        )

    @property
    def address(self) -> str:
        """The address, in the format of the setting, with the actual port for 0."""
        return self._address

    def _bound_address(self) -> str:
        if self._socket_path is not None:
            return f"unix:{self._socket_path}"
        host, port = self._server.socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def start(self) -> None:
        """Starts serving."""
        self._thread.start()

    def close(self) -> None:
        """Stops serving, and removes the unix socket."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        if self._socket_path is not None:
            self._socket_path.unlink(missing_ok=True)

    def _answer(self, path: str) -> _Answer:
        if path == "/livez":
            return HTTPStatus.OK, "text/plain", b"ok\n"
        if path == "/metrics":
            return HTTPStatus.OK, _METRICS, self._metrics()
        statuses = self._statuses()
        first, _, name = path.removeprefix("/").partition("/")
        if first != "readyz":
            return HTTPStatus.NOT_FOUND, "text/plain", b"/livez, /readyz, /readyz/TOKEN, /metrics\n"
        asked = [status for status in statuses if not name or status.name == unquote(name)]
        if not asked:
            return HTTPStatus.NOT_FOUND, "text/plain", b"no such token\n"
        code = HTTPStatus.OK if all(status.is_valid for status in asked) else HTTPStatus.SERVICE_UNAVAILABLE
        return code, "application/json", json.dumps({"tokens": [_to_json(status) for status in asked]}).encode() + b"\n"


def _to_json(status: Status) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": status.name, "state": status.state}
    if status.expire_time is not None:
        shown["expire_time"] = rfc3339(status.expire_time)
    if status.problem is not None:
        shown["problem"] = status.problem
    return shown


class _LimitedThreads(ThreadingMixIn):
    daemon_threads = True
    request_timeout = _REQUEST_TIMEOUT

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - the base's
        self._free = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        super().__init__(*arguments, **options)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base's
        self._free.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base's
        # The socket's timeout restarts with each byte, so a slow client could stay connected indefinitely.
        timer = threading.Timer(self.request_timeout, _shut_down, (request,))
        timer.daemon = True
        timer.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            timer.cancel()
            self._free.release()

    def handle_error(self, _request: Any, _client_address: Any) -> None:  # noqa: ANN401 - the base's
        """Ignores clients that disconnect."""


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Tcp(_LimitedThreads, TCPServer):
    allow_reuse_address = True


class _Tcp6(_Tcp):
    address_family = socket.AF_INET6


class _Unix(_LimitedThreads, UnixStreamServer):
    pass


def _server(settings: Health, answer: Callable[[str], _Answer]) -> "_Tcp | _Unix":
    class Handler(_Handler):
        answer_for = staticmethod(answer)

    path = settings.socket_path
    if path is not None:
        _remove_dead_socket(path)
        return _Unix(str(path), Handler)
    host, port = settings.host_and_port
    return (_Tcp6 if ":" in host else _Tcp)((host, port), Handler)


def _remove_dead_socket(path: Path) -> None:
    """Removes the socket of a killed agent. The socket of a running agent is kept, and its address stays in use."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.stat(follow_symlinks=False).st_mode):
            return
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_REQUEST_TIMEOUT)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()


class _Handler(BaseHTTPRequestHandler):
    server_version = "tokend-agent"
    sys_version = ""
    answer_for: Callable[[str], _Answer]

    def do_GET(self) -> None:
        status, kind, body = self.answer_for(self.path.partition("?")[0])
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("cache-control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Logs nothing: probes arrive every few seconds."""
