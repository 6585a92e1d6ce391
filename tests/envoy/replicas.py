"""Replicas of tokend on one database, each with an address that stays the same."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.clients.in_flight import calls_in_flight
from tests.clients.served import aws_environment
from tests.support.ports import free_ports
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, ServerProcess

#: Seconds for which a replica reports NOT_SERVING before it stops: longer than the example takes to notice.
DRAIN_DELAY = 2

COGNITO_POOL_ID = "us-east-1:0a1b2c3d-0000-4000-8000-00000000000c"


class Replica:
    """A server that can be stopped and started again at the same address.

    Args:
        directory: The directory of the database.
        cognito_url: The Cognito of its second pool.

    Attributes:
        port: The port for calls.
    """

    def __init__(self, directory: Path, cognito_url: str) -> None:
        self.port, issuer_port, ops_port = free_ports(3)
        self._ops = f"http://127.0.0.1:{ops_port}"
        self._environment = aws_environment(directory)
        self._config = directory / f"{self.port}.toml"
        self._config.write_text(
            f"""
[grpc]
listen = ["127.0.0.1:{self.port}"]
drain_delay_seconds = {DRAIN_DELAY}
[issuer]
listen = "127.0.0.1:{issuer_port}"
url = "https://tokens.example.test"
[ops]
listen = "127.0.0.1:{ops_port}"
[store]
url = "sqlite:///{directory}/tokend.db"
[cognito]
endpoint_url = "{cognito_url}"
max_attempts = 1
[pools."{POOL_ID}"]
developer_provider_name = "{DEVELOPER_PROVIDER}"
signing_algorithm = "ES256"
[pools."{COGNITO_POOL_ID}"]
engine = "cognito"
developer_provider_name = "{DEVELOPER_PROVIDER}"
""",
            encoding="utf-8",
        )
        self.start()

    def start(self) -> None:
        self._server = ServerProcess(self._config, self._environment)

    def stop(self, *, announced: bool) -> int:
        """Drains and stops it, and returns its exit code; unlike SIGTERM, SIGINT is not announced to health checks."""
        os.kill(self._server.pid, signal.SIGTERM if announced else signal.SIGINT)
        return self._server.wait()

    def kill(self) -> None:
        """Kills it, like a crash."""
        self._server.kill()

    def end(self) -> None:
        """Ends it if it still runs."""
        self._server.stop()

    def is_busy(self) -> bool:
        """Reports whether it is handling a call for a token."""
        return calls_in_flight(self._ops, "GetOpenIdTokenForDeveloperIdentity") > 0


@contextmanager
def replicas(directory: Path, cognito_url: str) -> Iterator[list[Replica]]:
    """Runs two of them until the block ends."""
    with ExitStack() as undo:
        both = []
        for _ in range(2):
            both.append(Replica(directory, cognito_url))
            undo.callback(both[-1].end)
        yield both
