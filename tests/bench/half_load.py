"""The latency of calls at half the server's capacity, where queues are short: p50 and p99."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from tests.bench import serve_tokend
from tests.bench.fill import fill_sqlite, known_users
from tests.bench.generator import Generator, Sample, build
from tests.bench.processes import Cores

USERS = 20_000
WARM_UP_SECONDS = 1.0

#: By signing algorithm, a sample at half load in each round.
Rounds = Mapping[str, Sequence[Sample]]


def measure(directory: Path, rounds: int, seconds: float) -> Rounds:
    """Loads tokend fully, then starts half as many calls per second by the clock, in turns."""
    cores = Cores.available()
    generator = Generator(build(directory), directory, known_users=USERS)
    url = fill_sqlite(directory / "half-load.db", known_users(serve_tokend.POOLS.values(), USERS))
    with serve_tokend.serving(directory, cores, url) as tokend:
        calls = {algorithm: tokend.call(algorithm, tokend.answer(algorithm)) for algorithm in serve_tokend.POOLS}
        found: dict[str, list[Sample]] = {algorithm: [] for algorithm in calls}
        for _ in range(rounds):
            for algorithm, call in calls.items():
                most = tokend.sample(generator, call, WARM_UP_SECONDS).calls_per_second
                paced = replace(call, calls_per_second=most / 2)
                found[algorithm].append(tokend.sample(generator, paced, seconds))
        return found


def table(rounds: Rounds) -> str:
    """Formats the medians over the rounds, also of the ratio, as a Markdown table."""
    lines = ["| at half load, known users | calls/s | p50, ms | p99, ms | p99 to p50 |", "|---|---:|---:|---:|---:|"]
    for algorithm, samples in rounds.items():
        rate = median(sample.calls_per_second for sample in samples)
        p50 = median(sample.p50_milliseconds for sample in samples)
        p99 = median(sample.p99_milliseconds for sample in samples)
        ratio = median(sample.p99_milliseconds / sample.p50_milliseconds for sample in samples)
        lines.append(f"| {algorithm} | {rate:,.0f} | {p50:.1f} | {p99:.1f} | {ratio:.1f} |")
    return "\n".join(lines)
