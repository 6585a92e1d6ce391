"""The costs of the kinds of stores: the same tokend on each of them, in turns."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest
from tests.bench import places, serve_tokend
from tests.bench.fill import known_users
from tests.bench.generator import Call, Generator, Sample, build
from tests.bench.places import Place
from tests.bench.processes import Cores

USERS = 20_000
WARM_UP_SECONDS = 1.0

#: How many times each store has its turn in a round, so that all meet the same moods of the machine.
TURNS = 5

KINDS: Mapping[str, places.Kind] = {
    "SQLite": places.sqlite,
    "PostgreSQL": places.postgresql,
    "DynamoDB (dynoxide)": places.dynamodb,
}

#: The algorithm of each case, and whether its users are new.
CASES: Mapping[str, tuple[str, bool]] = {
    "RS512, known users": ("RS512", False),
    "ES256, known users": ("ES256", False),
    "RS512, new users": ("RS512", True),
}


class Turn(NamedTuple):
    """The figures of a case in one turn.

    Attributes:
        sample: The load generator's figures of tokend.
        store_cpu_microseconds: The CPU of the store's server per call; 0 without a server.
    """

    sample: Sample
    store_cpu_microseconds: float


#: The turns of each store in each case.
Turns = Mapping[str, Mapping[str, Sequence[Turn]]]


@dataclass(frozen=True)
class Served:
    """A tokend and its store.

    Attributes:
        place: The store.
        tokend: The server.
        calls: The call of a known user, by signing algorithm.
    """

    place: Place
    tokend: serve_tokend.Tokend
    calls: Mapping[str, Call]

    def turn(self, generator: Generator, case: str, seconds: float) -> Turn:
        """Loads the server.

        Raises:
            RuntimeError: A call failed, or had another effect than the case measures.
        """
        algorithm, new_users = CASES[case]
        before = self.place.cpu_seconds()
        call = replace(self.calls[algorithm], new_users=new_users)
        sample = self.tokend.sample(generator, call, seconds)
        return Turn(sample, (self.place.cpu_seconds() - before) / sample.calls * 1e6)


def measure(directory: Path, rounds: int, seconds: float) -> Turns:
    """Loads tokend on each of the stores in turn; the stores are on the load generator's core."""
    generator = Generator(build(directory), directory, known_users=USERS)
    with _all_served(directory) as served:
        for case in CASES:
            for each in served.values():
                each.turn(generator, case, WARM_UP_SECONDS)
        turns: dict[str, dict[str, list[Turn]]] = {case: {name: [] for name in served} for case in CASES}
        for _ in range(rounds * TURNS):
            for case, of_case in turns.items():
                for name, each in served.items():
                    of_case[name].append(each.turn(generator, case, seconds / TURNS))
    return turns


def table(turns: Turns) -> str:
    """Formats the stores by case, and tokend's CPU in each turn relative to the first store, as a Markdown table."""
    lines = [
        "| tokend on | tokend's CPU, µs/call | to SQLite | the store's CPU, µs/call | calls/s |",
        "|---|---:|---:|---:|---:|",
    ]
    for case, of_case in turns.items():
        first, *_ = of_case.values()
        lines += [_row(f"{name}, {case}", each, first) for name, each in of_case.items()]
    return "\n".join(lines)


def _row(label: str, turns: Sequence[Turn], first: Sequence[Turn]) -> str:
    cpu = median(map(_cpu, turns))
    ratio = median(_cpu(each) / _cpu(other) for each, other in zip(turns, first, strict=True))
    store = median(each.store_cpu_microseconds for each in turns)
    rate = median(each.sample.calls_per_second for each in turns)
    return f"| {label} | {cpu:,.0f} | {ratio:.2f} | {f'{store:,.0f}' if store else 'in tokend'} | {rate:,.0f} |"


def _cpu(turn: Turn) -> float:
    return turn.sample.server_cpu_microseconds


@contextmanager
def serving(directory: Path, cores: Cores, place: Place, name: str = "tokend") -> Iterator[Served]:
    """Serves tokend on a filled store."""
    with serve_tokend.serving(directory, cores, place.url, name=name) as tokend:
        calls = {each: tokend.call(each, tokend.answer(each)) for each in serve_tokend.POOLS}
        yield Served(place, tokend, calls)


@contextmanager
def _all_served(directory: Path) -> Iterator[dict[str, Served]]:
    """Serves tokend on each of the stores that are available here."""
    cores = Cores.available()
    served = {}
    with ExitStack() as stack:
        for name, kind in KINDS.items():
            own = directory / name
            own.mkdir()
            try:
                filled = known_users(serve_tokend.POOLS.values(), USERS)
                place = stack.enter_context(kind(own, cores, filled))
            except (pytest.skip.Exception, pytest.fail.Exception) as left_out:
                sys.stderr.write(f"{name} is left out: {left_out}\n")
                continue
            served[name] = stack.enter_context(serving(own, cores, place))
        yield served
