"""The floor as a process on the servers' core."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.bench.generator import Call
from tests.bench.messages import METHOD, SERVICE
from tests.bench.processes import THREADS, Cores, accepts_connections, running, wait_until
from tests.support.ports import free_port


@contextmanager
def serving(  # noqa: PLR0913, PLR0917 - as many as there are differences
    directory: Path, cores: Cores, algorithm: str, call: Call, answer: bytes, kind: str = "threads"
) -> Iterator[tuple[int, Call]]:
    """Serves tokend's response, and yields the process id and tokend's call addressed to the floor."""
    port = free_port()
    log = directory / f"floor-{kind}-{algorithm}.log"
    answer_file = log.with_suffix(".answer")
    answer_file.write_bytes(answer)
    command = [
        sys.executable,
        "-m",
        "tests.bench.floor",
        f"--algorithm={algorithm}",
        f"--threads={THREADS}",
        f"--kind={kind}",
    ]
    with running([*command, f"--port={port}", f"--answer={answer_file}"], cores, log) as process:
        wait_until(lambda: accepts_connections(port), process, log)
        yield process.pid, replace(call, url=f"http://127.0.0.1:{port}/{SERVICE}/{METHOD}")
