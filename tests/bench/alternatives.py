"""The cost of the alternatives in server/decisions relative to the chosen design: `python -m tests.bench.alternatives`.

Bare servers, as in `floor`, run at the same time on one core, and are loaded in turns from another. The table has the
medians of the rounds; a ratio is taken within each round.
"""

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.bench import serve_floor, serve_tokend
from tests.bench.fill import fill_sqlite, known_users
from tests.bench.generator import CONNECTIONS, STREAMS, Call, Generator, Sample, build
from tests.bench.machine import describe
from tests.bench.processes import Cores
from tests.bench.report import Samples, ratio

#: tokend only provides the response for one user.
USERS = 1
WARM_UP_SECONDS = 1.0

#: The algorithm and the kind of floor of each case, and how the table calls it; others are compared with the first.
CASES = {
    ("ES256", "threads"): "grpcio, threads of `ThreadPoolExecutor`, ES256",
    ("ES256", "worker pool"): "grpcio, threads of tokend's pool, ES256",
    ("ES256", "asyncio"): "grpcio, asyncio, ES256",
    ("RS512", "threads"): "grpcio, threads of `ThreadPoolExecutor`, RS512",
    ("RS512", "asyncio"): "grpcio, asyncio, RS512",
    ("none", "threads"): "grpcio, threads of `ThreadPoolExecutor`, no signature",
}


def table(samples: Samples) -> str:
    """Formats the cases as a Markdown table, each relative to the first."""
    first, *_ = samples
    lines = ["| server | CPU, µs/call | to the first |", "|---|---:|---:|"]
    for case, rounds in samples.items():
        cpu = median(map(_cpu, rounds))
        lines.append(f"| {case} | {cpu:,.0f} | {ratio(samples, case, first, _cpu):.2f} |")
    return "\n".join(lines)


def _cpu(sample: Sample) -> float:
    return sample.server_cpu_microseconds


@contextmanager
def _servers(directory: Path) -> Iterator[dict[str, tuple[int, Call]]]:
    cores = Cores.available()
    url = fill_sqlite(directory / "tokend.db", known_users(serve_tokend.POOLS.values(), USERS))
    with serve_tokend.serving(directory, cores, url) as tokend:
        answers = {algorithm: tokend.answer(algorithm) for algorithm in serve_tokend.POOLS}
        calls = {algorithm: tokend.call(algorithm, answer) for algorithm, answer in answers.items()}
    with ExitStack() as stack:
        targets = {}
        for (algorithm, kind), label in CASES.items():
            like = algorithm if algorithm in answers else "ES256"
            serving = serve_floor.serving(directory, cores, algorithm, calls[like], answers[like], kind)
            targets[label] = stack.enter_context(serving)
        yield targets


def measure(directory: Path, rounds: int, seconds: float) -> dict[str, list[Sample]]:
    generator = Generator(build(directory), directory, known_users=USERS)
    with _servers(directory) as targets:
        for server, call in targets.values():
            generator.sample(call, server, WARM_UP_SECONDS)
        samples: dict[str, list[Sample]] = {label: [] for label in targets}
        for _ in range(rounds):
            for label, (server, call) in targets.items():
                samples[label].append(generator.sample(call, server, seconds))
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.alternatives", description="Measures alternatives.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2.0, help="of load, for each case and round")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit ends the servers, a kill would not
    try:
        with TemporaryDirectory(prefix="tokend-bench-") as directory:
            machine = describe(Path(directory))
            samples = measure(Path(directory), options.rounds, options.seconds)
    except RuntimeError as error:
        sys.exit(str(error))
    load = f"Measured on {datetime.now(UTC):%Y-%m-%d}: {CONNECTIONS} x {STREAMS} calls in flight."
    sys.stdout.write(f"{load}\n\n{machine}\n\n{table(samples)}\n")


if __name__ == "__main__":
    main()
