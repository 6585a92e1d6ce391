"""Copies a store of many identities while it is in use: `python -m tests.bench.copying [--identities 1000000]`.

A tokend serves a filled SQLite file, and is called all the time; each response must have the id that the user was
filled with. Meanwhile `tokend store copy` copies the file to PostgreSQL, and compares both itself. Then the databases'
drivers compare them, row by row. The command fails at the first wrong call or row.
"""

import argparse
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import psycopg
from sqlalchemy import Table
from tests.bench.fill import fill_sqlite, identity_id, known_users
from tests.bench.messages import grpc_request, user
from tests.bench.places import DEFAULTS
from tests.bench.processes import Cores
from tests.bench.serve_tokend import POOLS, serving
from tests.support.postgresql import own_server

from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub
from tokend_server.engines.local.stores.sql import tables
from tokend_server.model import Identity, Login, Secret

POOL = POOLS["ES256"]

#: Every so many identities one has no login, one has two, and one has changed since it was created.
CYCLE = 10
WITHOUT_LOGIN, WITH_TWO, CHANGED = 0, 1, 2

#: Seconds between two calls.
_PAUSE = 0.005

#: Seconds that a connection to the target may take, however busy the machine is with reads.
_TIMEOUT = 60

_COPIED = (tables.identities, tables.linked_logins, tables.signing_keys, tables.developer_providers)


@dataclass
class Reads:
    """Calls for existing users.

    Attributes:
        made: The number of calls.
        wrong: The wrong responses.
    """

    made: int = 0
    wrong: list[str] = field(default_factory=list)


def everyone(identities: int) -> Iterator[Identity]:
    """Yields the identities of the source."""
    for number, identity in enumerate(known_users([POOL], identities)):
        place = number % CYCLE
        if place == WITHOUT_LOGIN:
            yield replace(identity, logins=frozenset(), disabled=True)
        elif place == WITH_TWO:
            other = Login("accounts.example.test", Secret(f"\u00fc\u0000 {number}"))
            yield replace(identity, logins=identity.logins | {other})
        elif place == CHANGED:
            yield replace(identity, last_modified_date=identity.creation_date + number, revision=number)
        else:
            yield identity


@contextmanager
def running_reads(address: str, identities: int) -> Iterator[Reads]:
    """Makes sequential calls for random users while the block runs."""
    reads, stopped = Reads(), threading.Event()

    def read() -> None:
        chance = random.Random(0)
        with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
            stub = DeveloperIdentityServiceStub(channel)
            while not stopped.wait(_PAUSE):
                number = chance.randrange(identities)
                if number % CYCLE == WITHOUT_LOGIN:
                    continue
                try:
                    answer = stub.GetOpenIdTokenForDeveloperIdentity(grpc_request(POOL, user(number)), timeout=10)
                except grpc.RpcError as error:
                    reads.wrong.append(f"{user(number)}: {error.code()}")
                    continue
                reads.made += 1
                if answer.identity_id != identity_id(POOL, number):
                    reads.wrong.append(f"{user(number)}: {answer.identity_id}")

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield reads
    finally:
        stopped.set()
        thread.join()


def compared(database: Path, url: str) -> Mapping[str, int]:
    """Returns how many rows each table has, after checking that both databases have the same.

    Raises:
        RuntimeError: They differ.
    """
    with closing(sqlite3.connect(database)) as source, psycopg.connect(url) as target:
        return {table.name: _compared_table(source, target, table) for table in _COPIED}


def _compared_table(source: sqlite3.Connection, target: psycopg.Connection[Any], table: Table) -> int:
    columns = ", ".join(column.name for column in table.columns)
    (key,) = (column.name for column in table.primary_key)
    select = f"SELECT {columns} FROM {table.name} ORDER BY {key}"
    rows = 0
    with target.cursor(name="rows") as theirs:
        theirs.itersize = 10_000
        for ours, other in zip_longest(source.execute(select), theirs.execute(select.encode())):
            if ours != other:
                raise RuntimeError(f"{table.name}: row {rows} of FROM is not that of TO")  # they are secrets
            rows += 1
    return rows


def copy(directory: Path, identities: int) -> str:
    """Copies this many identities, and returns the result as a sentence.

    Raises:
        RuntimeError: A call or a row was wrong, or the command failed.
    """
    affinity = os.sched_getaffinity(0)
    database = directory / "tokend.db"
    url = fill_sqlite(database, everyone(identities))
    with ExitStack() as stack:
        tokend = stack.enter_context(serving(directory, Cores.available(), url))
        os.sched_setaffinity(0, affinity)
        target = f"{stack.enter_context(own_server(directory, **DEFAULTS)).url}?connect_timeout={_TIMEOUT}"
        with running_reads(tokend.grpc_address, identities) as reads:
            began = time.monotonic()
            done = subprocess.run([sys.executable, "-m", "tokend_server", "store", "copy", url, target], check=False)
            seconds = time.monotonic() - began
        if done.returncode or reads.wrong or not reads.made:
            raise RuntimeError(f"exit code {done.returncode}, {reads.made} reads; wrong: {reads.wrong[:10]}")
        rows = compared(database, target)
    if rows["identities"] != identities:
        raise RuntimeError(f"{rows['identities']} identities are there")
    counts = ", ".join(f"{number:,} {name}" for name, number in rows.items())
    return (
        f"Copied and compared in {seconds:.0f} s; {reads.made:,} reads meanwhile, each with its user's id. "
        f"The same in both databases: {counts}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.copying", description="Copies a store that serves.")
    parser.add_argument("--identities", type=int, default=1_000_000)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit ends the servers, a kill would not
    try:
        with TemporaryDirectory(prefix="tokend-bench-") as directory:
            sys.stdout.write(f"{copy(Path(directory), options.identities)}\n")
    except RuntimeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
