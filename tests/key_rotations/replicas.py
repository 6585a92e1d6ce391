"""Three servers on one store with different clocks, and their issuer: an address that forwards to each in turn."""

import itertools
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import httpx
from tests.key_rotations.scale import CLOCKS, Scale
from tests.key_rotations.server import VARIABLE
from tests.support.ports import free_ports
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, ServerProcess

_KEPT_HEADERS = ("cache-control", "content-type", "etag")


class Replicas(NamedTuple):
    """Running servers.

    Attributes:
        servers: The servers.
        issuer: The issuer of their tokens.
        config: The configuration of one of them.
    """

    servers: Sequence[ServerProcess]
    issuer: str
    config: Path


class _Balancer(ThreadingHTTPServer):
    """Forwards each request to the next server."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Forwarding)
        self.issuers: Iterator[str] = itertools.cycle([""])
        self.lock = threading.Lock()
        self.client = httpx.Client(trust_env=False, verify=False, timeout=10)

    def ask(self, path: str, etag: str | None) -> httpx.Response:
        with self.lock:
            issuer = next(self.issuers)
        return self.client.get(issuer + path, headers={"if-none-match": etag} if etag else {})


class _Forwarding(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Balancer

    def do_GET(self) -> None:
        answer = self.server.ask(self.path, self.headers.get("if-none-match"))
        self.send_response(answer.status_code)
        for name in _KEPT_HEADERS:
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        self.send_header("content-length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is the base class's
        """Logs nothing."""


@contextmanager
def running(directory: Path, scale: Scale) -> Iterator[Replicas]:
    """Runs the servers until the block ends."""
    with ExitStack() as undo:
        balancer = undo.enter_context(_Balancer())
        undo.callback(balancer.client.close)
        issuer = f"http://127.0.0.1:{balancer.server_port}"
        ports = free_ports(len(CLOCKS))
        servers = []
        for clock, follows, port in zip(CLOCKS, scale.follows, ports, strict=True):
            hook = {"times": scale.times, "ahead": clock * scale.skew, "refreshes": follows}
            config = _write_config(directory, port, issuer)
            started = ServerProcess(config, {VARIABLE: json.dumps(hook)}, module="tests.key_rotations.server")
            servers.append(undo.enter_context(started))
        balancer.issuers = itertools.cycle([f"http://127.0.0.1:{port}" for port in ports])
        thread = threading.Thread(target=balancer.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        undo.callback(thread.join)
        undo.callback(balancer.shutdown)
        yield Replicas(servers, issuer, config)


def _write_config(directory: Path, port: int, issuer: str) -> Path:
    path = directory / f"{port}.toml"
    path.write_text(
        f"""
[grpc]
listen = ["127.0.0.1:0"]
drain_delay_seconds = 0
[issuer]
listen = "127.0.0.1:{port}"
url = "{issuer}"
[ops]
listen = "127.0.0.1:0"
[store]
url = "sqlite:///{directory}/tokend.db"
[pools."{POOL_ID}"]
developer_provider_name = "{DEVELOPER_PROVIDER}"
signing_algorithm = "ES256"
token_type = "JWT"
""",
        encoding="utf-8",
    )
    return path
