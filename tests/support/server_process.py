"""A `tokend serve` in a separate process, as operators run it."""

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Self

from tests.support.preloaded import fork

STOP_TIMEOUT = 30

POOL_ID = "us-east-1:0a1b2c3d-0000-4000-8000-00000000000a"
DEVELOPER_PROVIDER = "login.example.test"


def write_config(directory: Path, extra: str = "", grpc: str = "", *, algorithm: str = "ES256") -> Path:
    """Returns a configuration on free ports with one pool; `extra` is additional TOML, `grpc` additions to its [grpc]
    table.

    The pool's default algorithm has keys that are fast to generate: an RSA key takes 0.05 s.
    """
    path = directory / "tokend.toml"
    path.write_text(
        f"""
[grpc]
listen = ["127.0.0.1:0"]
drain_delay_seconds = 0
{grpc}
[issuer]
listen = "127.0.0.1:0"
[ops]
listen = "127.0.0.1:0"
[store]
url = "sqlite:///{directory}/tokend.db"
[pools."{POOL_ID}"]
developer_provider_name = "{DEVELOPER_PROVIDER}"
signing_algorithm = "{algorithm}"
{extra}
""",
        encoding="utf-8",
    )
    return path


class ServerProcess:
    """A server that serves when `__init__` returns, and stops when the `with` block ends.

    Args:
        config: Its configuration.
        environment: Its variables in addition to those of this process.
        directory: Its working directory.
        under: A command that runs it.
        module: The module to run instead of tokend itself.
        afresh: Whether it loads its modules itself, rather than being forked from a preloaded process.

    Attributes:
        endpoint: Its gRPC endpoint.
        issuer: The issuer of its tokens.
        ops: The URL of its metrics and probes.
        aws: The URL of Cognito's own API, if it is served.
        log: The records of its log.
    """

    def __init__(  # noqa: PLR0913 - what the servers of tests differ in
        self,
        config: Path,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        *,
        under: Sequence[str] = (),
        module: str = "tokend_server",
        afresh: bool = False,
    ) -> None:
        self.identity_pool_id = POOL_ID
        self.developer_provider_name = DEVELOPER_PROVIDER
        self.log: list[dict[str, Any]] = []
        self.output: list[str] = []
        lines, stderr = os.pipe()
        self._lines = os.fdopen(lines, encoding="utf-8")
        arguments = ["serve", "--config", str(config)]
        variables = {**os.environ, "TMPDIR": _temporary_directory(), **(environment or {})}
        try:
            self._process = (
                subprocess.Popen(
                    [*under, sys.executable, "-m", module, *arguments], cwd=directory, stderr=stderr, env=variables
                )
                if afresh or under
                else fork(module, arguments, variables, directory or Path.cwd(), stderr)
            )
        finally:
            os.close(stderr)
        self._serving = threading.Event()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        self._serving.wait()
        started = [record for record in self.log if record["message"] == "serving"]
        if not started:
            self.kill()
            raise RuntimeError(f"the server did not start: {self.output}")
        self.endpoint: str = started[0]["grpc"][0]
        self.issuer: str = started[0]["issuer"]
        self.ops = f"http://{started[0]['ops']}"
        self.aws = f"http://{started[0]['aws']}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Sends the signal to drain and end, without waiting."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Waits for its end and returns its exit code."""
        code = self._process.wait(STOP_TIMEOUT)
        self._reader.join()
        return code

    def stop(self) -> int:
        """Drains it, and returns its exit code."""
        if self._process.poll() is None:
            self.terminate()
        return self.wait()

    def kill(self) -> None:
        """Kills it, like a crash."""
        self._process.kill()
        self.wait()

    def _read_log(self) -> None:
        with self._lines as lines:
            for line in lines:
                self.output.append(line)
                if line.startswith("{"):
                    self.log.append(json.loads(line))
                    if self.log[-1]["message"] == "serving":
                        self._serving.set()
        self._serving.set()


@cache
def _temporary_directory() -> str:
    """Returns the directory for the servers' temporary files, which killed servers leave behind, until the tests end.

    The name is short, because paths of UNIX sockets must be.
    """
    directory = tempfile.mkdtemp(prefix="tests-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory
