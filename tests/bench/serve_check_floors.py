"""Servers without any logic that Envoy calls in tokend's place: the minimum cost of such a step."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.bench.processes import Cores, accepts_connections, running, wait_until
from tests.support.ports import free_port

from tokend_server.mesh.check_responses import CheckResponses
from tokend_server.mesh.protos import EnvoyProtos

SOURCE = Path(__file__).parent / "check_floor_go"

PYTHON, GO = "grpcio (Python), which does nothing", "grpc-go, which does nothing"

#: As long as a token of RS512 with one tag.
_TOKEN = "t" * 860


@contextmanager
def serving(directory: Path, cores: Cores, certificates: Path) -> Iterator[Mapping[str, tuple[int, int]]]:
    """Serves each floor, and yields the process id and the port by its name.

    Args:
        directory: The directory for programs and logs.
        cores: The cores to run on.
        certificates: Directory of tls.crt, tls.key and clients.crt.
    """
    answer = directory / "check.answer"
    answer.write_bytes(CheckResponses(EnvoyProtos()).with_header("authorization", f"Bearer {_TOKEN}"))
    binary = directory / "check_floor_go"
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off"}
    subprocess.run(["go", "build", "-o", binary, "."], cwd=SOURCE, env=environment, check=True)
    commands = {PYTHON: [sys.executable, "-m", "tests.bench.check_floor"], GO: ["env", "GOMAXPROCS=1", str(binary)]}
    with ExitStack() as undo:
        served = {}
        for name, command in commands.items():
            port, log = free_port(), directory / f"{name.partition(' ')[0]}.log"
            options = [f"--port={port}", f"--files={certificates}", f"--answer={answer}"]
            process = undo.enter_context(running([*command, *options], cores, log))
            wait_until(partial(accepts_connections, port), process, log)
            served[name] = process.pid, port
        yield served
