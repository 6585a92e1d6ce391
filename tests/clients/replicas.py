"""Two servers with one database. One of them can be suspended."""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.clients.pools import POOL_IDS, PROVIDER
from tests.support.server_process import ServerProcess


class Replicas:
    """Two servers for one pool. Use it as a context manager.

    Args:
        directory: The directory of their configuration and their database.

    Attributes:
        endpoints: HOST:PORT of each, without TLS.
    """

    endpoints: Sequence[str]

    def __init__(self, directory: Path) -> None:
        self._config = directory / "replicas.toml"
        self._config.write_text(
            f"""
[grpc]
listen = ["127.0.0.1:0"]
drain_delay_seconds = 0
[issuer]
listen = "127.0.0.1:0"
[ops]
listen = "127.0.0.1:0"
[store]
url = "sqlite:///{directory}/replicas.db"
[pools."{POOL_IDS["pool"]}"]
developer_provider_name = "{PROVIDER}"
signing_algorithm = "ES256"
""",
            encoding="utf-8",
        )
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            servers = [undo.enter_context(ServerProcess(self._config)) for _ in range(2)]
            self.endpoints = [server.endpoint for server in servers]
            self._pids = [server.pid for server in servers]
            undo.callback(self.resume)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def hang(self) -> None:
        """Suspends the first one: its connections stay open without responses."""
        os.kill(self._pids[0], signal.SIGSTOP)
        # A thread that is about to respond may continue until it receives the signal.
        while any(state != "T" for state in _states(self._pids[0])):
            time.sleep(0.001)  # there is no event to await for a process that is not a child

    def resume(self) -> None:
        """Resumes the suspended server."""
        for pid in self._pids:
            os.kill(pid, signal.SIGCONT)


def _states(pid: int) -> list[str]:
    """Returns the states of the threads of a process (proc_pid_stat(5), field 3)."""
    stats = [task.read_text() for task in Path("/proc").glob(f"{pid}/task/*/stat")]
    return [stat.rpartition(")")[2].split()[0] for stat in stats]
