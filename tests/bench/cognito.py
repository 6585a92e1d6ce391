"""The Cognito engine's part of the benchmark: its processes, its table and its ratios."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from tests.bench.cognito_calls import CALLERS
from tests.bench.processes import Cores, accepts_connections, on_core, running, wait_until
from tests.support.ports import free_port

CALLS = 2_000

#: CPU in microseconds for a call of each kind and number of callers, one mapping a round.
Rounds = Sequence[Mapping[str, float]]

_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "bench"}


def measure(directory: Path, rounds: int) -> Rounds:
    """Makes the calls on the servers' core; the upstream is on the other one."""
    cores = Cores.available()
    port, log = free_port(), directory / "instant-upstream.log"
    upstream = [sys.executable, "-m", "tests.bench.instant_upstream", f"--port={port}"]
    with running(upstream, Cores(server=cores.load, load=cores.load), log) as process:
        wait_until(lambda: accepts_connections(port), process, log)
        command = [sys.executable, "-m", "tests.bench.cognito_calls", f"--endpoint-url=http://127.0.0.1:{port}"]
        with on_core(cores.server):
            done = subprocess.run(
                [*command, f"--rounds={rounds}", f"--calls={CALLS}"],
                check=True,
                capture_output=True,
                env={**os.environ, **_CREDENTIALS},
            )
    measured: Rounds = json.loads(done.stdout)
    return measured


def table(rounds: Rounds) -> str:
    """Formats the kinds of calls, and in each round the engine's relative to boto3's, as a Markdown table."""
    lines = ["| Cognito answering at once | boto3, µs CPU/call | engine, µs CPU/call | ratio |", "|---|---:|---:|---:|"]
    for callers in CALLERS:
        boto3 = [each[f"boto3 {callers}"] for each in rounds]
        engine = [each[f"engine {callers}"] for each in rounds]
        ratio = median(b / a for a, b in zip(boto3, engine, strict=True))
        who = "1 caller" if callers == 1 else f"{callers} callers at once"
        lines.append(f"| {who} | {median(boto3):,.0f} | {median(engine):,.0f} | {ratio:.2f} |")
    return "\n".join(lines)
