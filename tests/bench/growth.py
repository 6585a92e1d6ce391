"""The cost of a known user among a thousand, and among ten million: `python -m tests.bench --growth`.

Each size has a separate database. All of them, with a tokend each, run at the same time, and are loaded in turns.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psycopg
from tests.bench import serve_tokend
from tests.bench.fill import fill_postgresql, fill_sqlite, known_users
from tests.bench.generator import Generator, build
from tests.bench.places import DEFAULTS, Place
from tests.bench.processes import Cores, on_core
from tests.bench.stores import Served, Turn, serving
from tests.support.postgresql import PostgresqlServer, own_server

SIZES = (1_000, 100_000, 10_000_000)
WARM_UP_SECONDS = 3.0
TURNS = 5

#: The case whose signature costs least, so that the store's part is largest.
CASE = "ES256, known users"

#: The size of an identity with one login in both stores, and while they are filled.
BYTES_OF_AN_IDENTITY = 2_500

#: The server loses what it is filled with if the machine fails, and is filled the faster.
_SETTINGS = {**DEFAULTS, "fsync": "off", "wal_level": "minimal", "max_wal_senders": "0"}


@dataclass(frozen=True)
class Size:
    """One size of one store.

    Attributes:
        store: The kind of the store.
        identities: The number of its identities, half of them in each pool.
        size_bytes: Their size on the disk.
        turns: The figures of calls for known users.
    """

    store: str
    identities: int
    size_bytes: int
    turns: list[Turn] = field(default_factory=list)


def measure(directory: Path, sizes: Sequence[int], rounds: int, seconds: float) -> Sequence[Size]:
    """Fills both stores in each size, and loads all in turn.

    Raises:
        RuntimeError: The disk has not enough room, or a call failed.
    """
    needed, free = sum(sizes) * BYTES_OF_AN_IDENTITY, shutil.disk_usage(directory).free
    if free < needed:
        raise RuntimeError(f"{directory} has {free / 1e9:.1f} GB left, and {needed / 1e9:.1f} GB are needed (TMPDIR).")
    binary = build(directory)
    with _all_served(directory, sizes) as grown:
        os.sync()  # the disk is idle while calls are measured
        loads = [(size, served, Generator(binary, directory, size.identities // 2)) for size, served in grown]
        for _, served, generator in loads:
            served.turn(generator, CASE, WARM_UP_SECONDS)
        for _ in range(rounds * TURNS):
            for size, served, generator in loads:
                size.turns.append(served.turn(generator, CASE, seconds / TURNS))
    return [size for size, _ in grown]


def table(sizes: Sequence[Size]) -> str:
    """Formats all sizes, and in each turn tokend's CPU relative to the first size of the store, as a Markdown table."""
    lines = [
        f"| {CASE} | identities | tokend's CPU, µs/call | to the first | the store's CPU, µs/call | on disk, MB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for size in sizes:
        first = next(each for each in sizes if each.store == size.store)
        cpu = [turn.sample.server_cpu_microseconds for turn in size.turns]
        of_first = [turn.sample.server_cpu_microseconds for turn in first.turns]
        ratio = median(one / other for one, other in zip(cpu, of_first, strict=True))
        store = median(turn.store_cpu_microseconds for turn in size.turns)
        lines.append(
            f"| {size.store} | {size.identities:,} | {median(cpu):,.0f} | {ratio:.2f} "
            f"| {f'{store:,.0f}' if store else 'in tokend'} | {size.size_bytes / 1e6:,.1f} |"
        )
    return "\n".join(lines)


@contextmanager
def _all_served(directory: Path, sizes: Sequence[int]) -> Iterator[Sequence[tuple[Size, Served]]]:
    cores = Cores.available()
    with ExitStack() as stack:
        server = stack.enter_context(own_server(directory, **_SETTINGS))
        filled = list(_filled(directory, sizes, server))
        stack.enter_context(on_core(cores.load))
        server.stop()
        server.start()  # on that core
        places = {"SQLite": None, "PostgreSQL": server.pid}
        grown = []
        for size, url in filled:
            name = f"{size.store}-{size.identities}"
            _READ_ALL[size.store](url)
            grown.append((size, stack.enter_context(serving(directory, cores, Place(url, places[size.store]), name))))
        yield grown


def _filled(directory: Path, sizes: Sequence[int], server: PostgresqlServer) -> Iterator[tuple[Size, str]]:
    """Fills all databases, on all cores, and returns them with their URLs."""
    fills = {"SQLite": _fill_sqlite, "PostgreSQL": _fill_postgresql}
    with ProcessPoolExecutor(max_workers=len(fills)) as processes:
        filling = [
            (store, identities, processes.submit(fill, directory, server, identities))
            for store, fill in fills.items()
            for identities in sizes
        ]
        for store, identities, future in filling:
            size_bytes, url = future.result()
            sys.stderr.write(f"{store} has {identities:,} identities\n")
            yield Size(store, identities, size_bytes), url


def _read_all_of_sqlite(url: str) -> None:
    with Path(url.removeprefix("sqlite:///")).open("rb") as file:
        while file.read(1 << 24):
            pass


def _read_all_of_postgresql(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
        connection.execute(
            "SELECT pg_prewarm(oid, 'read') FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')"
        )


#: Has the system keep in its memory what is on the disk, as where users come all the time.
_READ_ALL = {"SQLite": _read_all_of_sqlite, "PostgreSQL": _read_all_of_postgresql}


def _fill_sqlite(directory: Path, _server: PostgresqlServer, identities: int) -> tuple[int, str]:
    database = directory / f"{identities}.db"
    url = fill_sqlite(database, known_users(serve_tokend.POOLS.values(), identities // 2))
    return database.stat().st_size, url


def _fill_postgresql(_directory: Path, server: PostgresqlServer, identities: int) -> tuple[int, str]:
    name = f"identities_{identities}"
    server.execute(f"CREATE DATABASE {name}")
    url = f"{server.url.removesuffix('postgres')}{name}"
    fill_postgresql(url, known_users(serve_tokend.POOLS.values(), identities // 2))
    ((size_bytes,),) = server.execute("SELECT pg_database_size(%s)", name)
    return size_bytes, url
