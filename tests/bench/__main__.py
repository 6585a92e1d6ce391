"""The benchmark: `python -m tests.bench`.

All servers run at the same time on one core. A load generator on another core loads them one after another, round robin
over several rounds, so that other activity of the machine affects all cases alike. README.md has reasons and methods.
"""

import argparse
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench import (
    checks,
    cognito,
    growth,
    half_load,
    peers,
    replicas,
    serve_floor,
    serve_moto,
    serve_tokend,
    stores,
)
from tests.bench.fill import fill_sqlite, known_users
from tests.bench.generator import CONNECTIONS, STREAMS, Call, Generator, Sample, build
from tests.bench.machine import describe
from tests.bench.processes import THREADS, Cores
from tests.bench.report import CASES, ratios, table

RESULTS = Path(__file__).parent / "RESULTS.md"
GROWTH = RESULTS.with_name("GROWTH.md")
PEERS = RESULTS.with_name("PEERS.md")
USERS = 100_000
WARM_UP_SECONDS = 1.0


class Bench:
    """The running servers, and the generator that loads them.

    Args:
        tokend: The tokend under test.
        targets: The process and the call of each case.
        generator: Makes the calls.
    """

    def __init__(self, tokend: serve_tokend.Tokend, targets: dict[str, tuple[int, Call]], generator: Generator) -> None:
        self._tokend = tokend
        self._targets = targets
        self._generator = generator

    def sample(self, case: str, seconds: float) -> Sample:
        """Loads one case.

        Raises:
            RuntimeError: A call failed, or had another effect than the case measures.
        """
        server, call = self._targets[case]
        if server == self._tokend.pid:
            return self._tokend.sample(self._generator, call, seconds)
        return self._generator.sample(call, server, seconds)


@contextmanager
def prepared(directory: Path) -> Iterator[Bench]:
    """Starts all servers, and builds the load generator."""
    cores = Cores.available()
    generator = Generator(build(directory), directory, known_users=USERS)
    _say(f"filling {len(serve_tokend.POOLS)} pools with {USERS:,} users each")
    url = fill_sqlite(directory / "tokend.db", known_users(serve_tokend.POOLS.values(), USERS))
    with ExitStack() as stack:
        tokend = stack.enter_context(serve_tokend.serving(directory, cores, url))
        targets = {"moto": stack.enter_context(serve_moto.serving(directory, cores))}
        for algorithm in serve_tokend.POOLS:
            answer = tokend.answer(algorithm)
            call = tokend.call(algorithm, answer)
            floor = serve_floor.serving(directory, cores, algorithm, call, answer)
            targets[f"tokend {algorithm}"] = (tokend.pid, call)
            targets[f"tokend {algorithm} new"] = (tokend.pid, replace(call, new_users=True))
            targets[f"floor {algorithm}"] = stack.enter_context(floor)
        yield Bench(tokend, targets, generator)


def measure(bench: Bench, rounds: int, seconds: float) -> dict[str, list[Sample]]:
    for case in CASES:
        bench.sample(case, WARM_UP_SECONDS)
    samples: dict[str, list[Sample]] = {case: [] for case in CASES}
    for number in range(rounds):
        for case in CASES:
            _say(f"round {number + 1} of {rounds}: {case}")
            samples[case].append(bench.sample(case, seconds))
    return samples


def results(samples: dict[str, list[Sample]], machine: str, seconds: float) -> str:
    rounds = [sample for of_case in samples.values() for sample in of_case]
    busiest = max(sample.load_cpu_share for sample in rounds)
    load = (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {CONNECTIONS} x {STREAMS} calls in flight, {THREADS} threads a "
        f"gRPC server, {USERS:,} identities a pool; medians of {len(rounds) // len(samples)} rounds of {seconds:g} s a "
        f"case; no call failed. The load generator kept its core {busiest:.0%} busy at most."
    )
    return "\n\n".join([load, machine, table(samples), ratios(samples)]) + "\n"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def all_results(rounds: int, seconds: float) -> str:
    """Measures everything except growth. Each part has separate servers."""
    with TemporaryDirectory(prefix="tokend-bench-") as directory, prepared(Path(directory)) as bench:
        machine = describe(Path(directory))
        parts = [results(measure(bench, rounds, seconds), machine, seconds)]
    others: dict[str, Callable[[Path], str]] = {
        "the Cognito engine beside boto3": lambda directory: cognito.table(cognito.measure(directory, rounds)),
        "half load": lambda directory: half_load.table(half_load.measure(directory, rounds, seconds)),
        "the checks of a call": lambda directory: checks.table(checks.measure(directory, rounds, seconds)),
        "the kinds of stores": lambda directory: stores.table(stores.measure(directory, rounds, seconds)),
        "two servers beside one": lambda directory: replicas.table(replicas.measure(directory, rounds, seconds)),
    }
    for what, measured in others.items():
        _say(what)
        with TemporaryDirectory(prefix="tokend-bench-") as directory:
            parts.append(f"{measured(Path(directory))}\n")
        _say(parts[-1])
    return "\n".join(parts)


def growth_results(sizes: Sequence[int], rounds: int, seconds: float) -> str:
    with TemporaryDirectory(prefix="tokend-bench-") as directory:
        table = growth.table(growth.measure(Path(directory), sizes, rounds, seconds))
        return f"Measured on {datetime.now(UTC):%Y-%m-%d}. {describe(Path(directory))}\n\n{table}\n"


def peers_results(rounds: int, seconds: float) -> str:
    with TemporaryDirectory(prefix="tokend-bench-") as directory:
        table = peers.table(peers.measure(Path(directory), rounds, seconds))
        return (
            f"Measured on {datetime.now(UTC):%Y-%m-%d}: {CONNECTIONS} x {STREAMS} calls in flight, all servers on one "
            f"core, those in Go with `GOMAXPROCS=1`; medians of {rounds} rounds of {seconds:g} s a case; no call "
            f"failed. {describe(Path(directory))}\n\n{table}\n"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measures tokend on this machine.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of load, for each case and round")
    parser.add_argument(
        "--growth", type=int, nargs="*", metavar="IDENTITIES", help="instead: among so many (default 10^3, 10^5, 10^7)"
    )
    parser.add_argument("--peers", action="store_true", help="instead: beside servers of others, SPIRE's and moto's")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit ends the servers, a kill would not
    try:
        if options.peers:
            file, text = PEERS, peers_results(options.rounds, options.seconds)
        elif options.growth is None:
            file, text = RESULTS, all_results(options.rounds, options.seconds)
        else:
            sizes = options.growth or growth.SIZES
            file, text = GROWTH, growth_results(sizes, options.rounds, options.seconds)
    except RuntimeError as error:
        sys.exit(str(error))
    file.write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
