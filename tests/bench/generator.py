"""The load generator, a separate Go program (load/), and its measurements of a server process."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from tests.bench.processes import cpu_seconds

SOURCE = Path(__file__).parent / "load"
CONNECTIONS = 4
STREAMS = 8


@dataclass(frozen=True)
class Call:
    """The repeated call of a case.

    Attributes:
        url: The URL that it is posted to.
        headers: Its headers.
        body: The template of its body, with the placeholder for the user's number.
        answer_bytes: The maximum size of the response's body, the same for all users.
        varying_bytes: By how much the body may be smaller, because of the time in it.
        grpc: Whether it uses HTTP/2, and succeeds with grpc-status 0; otherwise HTTP/1.1, and 200.
        new_users: Whether each call is for a new user; otherwise for a random known one.
        tls: The arguments of the load generator for TLS; empty without it.
        calls_per_second: The number of calls to start per second; 0: as fast as responses arrive.
        unix_socket: The socket to connect to, regardless of the host of `url`.
    """

    url: str
    headers: Mapping[str, str]
    body: bytes
    answer_bytes: int
    varying_bytes: int = 0
    grpc: bool = True
    new_users: bool = False
    tls: Sequence[str] = ()
    unix_socket: Path | None = None
    calls_per_second: float = 0


@dataclass(frozen=True)
class Sample:
    """The figures of one case in one round."""

    calls: int
    calls_per_second: float
    server_cpu_microseconds: float
    p50_milliseconds: float
    p99_milliseconds: float
    load_cpu_share: float


class Report(TypedDict):
    """The output of the load generator."""

    calls: int
    failures: dict[str, int]
    seconds: float
    cpu_seconds: float
    p50_milliseconds: float
    p99_milliseconds: float
    smallest_body_bytes: int
    largest_body_bytes: int


def build(directory: Path) -> Path:
    """Builds the load generator.

    Raises:
        RuntimeError: There is no Go, or it does not build.
    """
    go = shutil.which("go")
    if go is None:
        raise RuntimeError("The benchmark needs Go 1.24 or later (https://go.dev/dl) to build its load generator.")
    binary = directory / "load"
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off"}
    built = subprocess.run(
        [go, "build", "-o", binary, "."], cwd=SOURCE, env=environment, check=False, capture_output=True, text=True
    )
    if built.returncode:
        raise RuntimeError(f"The load generator does not build:\n{built.stderr}")
    return binary


def check(report: Report, call: Call) -> None:
    """Checks that every call succeeded: a benchmark of errors would be worthless.

    Raises:
        RuntimeError: A call failed, or a response has an unexpected size.
    """
    if report["failures"] or not report["calls"]:
        raise RuntimeError(f"{report['calls']} calls to {call.url} succeeded; failures: {report['failures']}")
    smallest, largest = report["smallest_body_bytes"], report["largest_body_bytes"]
    least = call.answer_bytes - call.varying_bytes
    if not least <= smallest <= largest <= call.answer_bytes:
        raise RuntimeError(
            f"{call.url} answered with {smallest} to {largest} bytes, not with {least} to {call.answer_bytes}"
        )


@dataclass
class Generator:
    """Loads servers with calls.

    Attributes:
        binary: The built program.
        directory: The directory for files with bodies.
        known_users: The number of users that all servers know.
    """

    binary: Path
    directory: Path
    known_users: int

    def __post_init__(self) -> None:
        self._next_new_user = self.known_users
        self._runs = 0

    def sample(self, call: Call, server: int, seconds: float) -> Sample:
        """Loads a server process for some seconds.

        Raises:
            RuntimeError: A call failed, or a response has an unexpected size.
        """
        with self._prepared(call, seconds) as load:
            before = cpu_seconds(server)
            report: Report = json.loads(load.communicate("go\n")[0])
        cpu = cpu_seconds(server) - before
        check(report, call)
        if call.new_users:
            self._next_new_user += report["calls"]
        return Sample(
            calls=report["calls"],
            calls_per_second=report["calls"] / report["seconds"],
            server_cpu_microseconds=cpu / report["calls"] * 1e6,
            p50_milliseconds=report["p50_milliseconds"],
            p99_milliseconds=report["p99_milliseconds"],
            load_cpu_share=report["cpu_seconds"] / report["seconds"],
        )

    @contextmanager
    def _prepared(self, call: Call, seconds: float) -> Iterator["subprocess.Popen[str]"]:
        """Starts the program, and waits until it is connected: connecting is not part of a call's cost."""
        self._runs += 1
        body = self.directory / "body"
        body.write_bytes(call.body)
        users = ["-in-order", f"-first={self._next_new_user}"] if call.new_users else [f"-count={self.known_users}"]
        command = [
            str(self.binary),
            f"-url={call.url}",
            f"-body={body}",
            f"-grpc={str(call.grpc).lower()}",
            f"-seed={self._runs}",
            f"-connections={CONNECTIONS}",
            f"-streams={STREAMS}",
            f"-rate={call.calls_per_second}",
            f"-duration={seconds}s",
            *call.tls,
            *([f"-unix={call.unix_socket}"] if call.unix_socket else []),
            *(f"-header={name}: {value}" for name, value in call.headers.items()),
            *users,
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load:
            if not load.stdout or load.stdout.readline() != "ready\n":
                raise RuntimeError(f"the load generator cannot connect to {call.url}")
            yield load
        if load.returncode:
            raise RuntimeError("the load generator failed")
