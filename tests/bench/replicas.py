"""Two tokends on one PostgreSQL, each on a core, compared with one of them alone.

With two cores, the second tokend shares its core with PostgreSQL and the load generator in either case. So the rate of
two is less than twice that of one: the relevant figures are the CPU of a call, and whether the cores are busy to the
end.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.bench import places, serve_tokend
from tests.bench.fill import known_users
from tests.bench.generator import Generator, build
from tests.bench.processes import Cores
from tests.bench.stores import CASES, Served, serving

USERS = 20_000
WARM_UP_SECONDS = 1.0
CASE, *_ = CASES


class Turn(NamedTuple):
    """The total of the loaded servers in one turn.

    Attributes:
        cpu_microseconds: The CPU of the servers per call.
        store_cpu_microseconds: The CPU of the store's server per call.
        calls_per_second: The rate of all servers.
        busy_cores: How many cores the servers, the store and the load generator kept busy.
    """

    cpu_microseconds: float
    store_cpu_microseconds: float
    calls_per_second: float
    busy_cores: float


#: The turns of so many servers.
Turns = Mapping[int, Sequence[Turn]]


@dataclass(frozen=True)
class Loaded:
    """A server with a separate load generator."""

    served: Served
    generator: Generator


def measure(directory: Path, rounds: int, seconds: float) -> Turns:
    """Loads one server, and both at once, in turns."""
    with _two(directory) as two:
        for number in (1, 2):
            _turn(two[:number], WARM_UP_SECONDS)
        turns: dict[int, list[Turn]] = {1: [], 2: []}
        for _ in range(rounds):
            for number, of_number in turns.items():
                of_number.append(_turn(two[:number], seconds))
    return turns


def table(turns: Turns) -> str:
    """Formats one server and two, and in each turn two relative to one, as a Markdown table."""
    lines = [
        "| on one PostgreSQL | tokend's CPU, µs/call | to one | its own CPU, µs/call | calls/s | to one | cores busy |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    labels = {1: "one server", 2: "two servers, on two cores"}
    for number, each in turns.items():
        cpu, store, rate, busy = (median(values) for values in zip(*each, strict=True))
        pairs = list(zip(each, turns[1], strict=True))
        cpu_ratio = median(one.cpu_microseconds / other.cpu_microseconds for one, other in pairs)
        rate_ratio = median(one.calls_per_second / other.calls_per_second for one, other in pairs)
        lines.append(
            f"| {labels[number]} | {cpu:,.0f} | {cpu_ratio:.2f} | {store:,.0f} | {rate:,.0f} | {rate_ratio:.2f} "
            f"| {busy:.2f} |"
        )
    return "\n".join(lines)


def _turn(loaded: Sequence[Loaded], seconds: float) -> Turn:
    place = loaded[0].served.place
    before, began = place.cpu_seconds(), time.monotonic()
    with ThreadPoolExecutor(len(loaded)) as threads:
        samples = [
            each.sample for each in threads.map(lambda one: one.served.turn(one.generator, CASE, seconds), loaded)
        ]
    store, took = place.cpu_seconds() - before, time.monotonic() - began
    calls = sum(each.calls for each in samples)
    cpu = sum(each.calls * each.server_cpu_microseconds / 1e6 for each in samples)
    load = sum(each.load_cpu_share * seconds for each in samples)
    rate = sum(each.calls_per_second for each in samples)
    return Turn(cpu / calls * 1e6, store / calls * 1e6, rate, (cpu + store + load) / took)


@contextmanager
def _two(directory: Path) -> Iterator[Sequence[Loaded]]:
    cores = Cores.available()
    binary = build(directory)
    with ExitStack() as stack:
        filled = known_users(serve_tokend.POOLS.values(), USERS)
        place = stack.enter_context(places.postgresql(directory, cores, filled))
        two = []
        for core in (cores.server, cores.load):
            own = directory / f"core-{core}"
            own.mkdir()
            served = stack.enter_context(serving(own, Cores(server=core, load=cores.load), place))
            two.append(Loaded(served, Generator(binary, own, USERS)))
        yield two
