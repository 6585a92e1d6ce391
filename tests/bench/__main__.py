"""The benchmark: `python -m tests.bench`.

All servers run at once on one core and are loaded one after another from another core, round robin over several
rounds, so that what else the machine does meets all cases alike. README.md says why and how.
"""

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench import checks, cognito, serve_floor, serve_moto, serve_tokend
from tests.bench.fill import fill
from tests.bench.generator import CONNECTIONS, STREAMS, Call, Generator, Sample, build
from tests.bench.machine import describe
from tests.bench.processes import THREADS, Cores
from tests.bench.report import CASES, ratios, table

RESULTS = Path(__file__).parent / "RESULTS.md"
USERS = 100_000
WARM_UP_SECONDS = 1.0


class Bench:
    """The running servers and the generator that loads them.

    Args:
        tokend: The one under test.
        targets: The process and the call of each case.
        generator: What makes the calls.
    """

    def __init__(self, tokend: serve_tokend.Tokend, targets: dict[str, tuple[int, Call]], generator: Generator) -> None:
        self._tokend = tokend
        self._targets = targets
        self._generator = generator

    def sample(self, case: str, seconds: float) -> Sample:
        """Loads one case.

        Raises:
            RuntimeError: A call failed, or did not do what the case is about.
        """
        server, call = self._targets[case]
        before = self._tokend.outcomes()
        sample = self._generator.sample(call, server, seconds)
        if server == self._tokend.pid:
            after = self._tokend.outcomes()
            outcomes = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name)}
            if outcomes != {"created" if call.new_users else "retrieved": sample.calls}:
                raise RuntimeError(f"{case}: {sample.calls} calls, but {outcomes}")
        return sample


@contextmanager
def prepared(directory: Path) -> Iterator[Bench]:
    """All servers running, and the load generator built."""
    cores = Cores.available()
    generator = Generator(build(directory), directory, known_users=USERS)
    database = directory / "tokend.db"
    _say(f"filling {len(serve_tokend.POOLS)} pools with {USERS:,} users each")
    fill(database, serve_tokend.POOLS.values(), USERS)
    with ExitStack() as stack:
        tokend = stack.enter_context(serve_tokend.serving(directory, cores, database))
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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measures tokend on this machine.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of load, for each case and round")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit ends the servers, a kill would not
    try:
        with TemporaryDirectory(prefix="tokend-bench-") as directory, prepared(Path(directory)) as bench:
            machine = describe(Path(directory))
            samples = measure(bench, options.rounds, options.seconds)
        with TemporaryDirectory(prefix="tokend-bench-") as directory:
            _say("the Cognito engine beside boto3")
            calls = cognito.measure(Path(directory), options.rounds)
        with TemporaryDirectory(prefix="tokend-bench-") as directory:
            _say("the checks of a call")
            checked = checks.measure(Path(directory), options.rounds, options.seconds)
    except RuntimeError as error:
        sys.exit(str(error))
    text = "\n".join(
        [results(samples, machine, options.seconds), f"{cognito.table(calls)}\n", f"{checks.table(checked)}\n"]
    )
    RESULTS.write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
