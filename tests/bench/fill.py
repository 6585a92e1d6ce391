"""Fills stores with known users, in the local engine's format."""

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

import psycopg
from sqlalchemy import Table
from tests.bench.messages import PROVIDER, user

from tokend_server.clock import Deadline, SystemClock
from tokend_server.config import Config, Store
from tokend_server.engines.local.store import Change, login_key
from tokend_server.engines.local.stores.opening import open_migrated_store
from tokend_server.engines.local.stores.sql.tables import identities, linked_logins
from tokend_server.model import Identity, Login, Secret

_BATCH = 1_000

#: As many as one commit on DynamoDB takes, each with one login.
_COMMIT = 30

#: For a file that no other process uses, and that is thrown away if it is not filled to the end.
_BULK = (
    "PRAGMA journal_mode = OFF",
    "PRAGMA synchronous = OFF",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA cache_size = -4000000",
    "PRAGMA secure_delete = OFF",
)

_Row = tuple[object, ...]


def identity_id(identity_pool_id: str, number: int) -> str:
    """Returns the identity id of the user with a number in a pool."""
    return f"{identity_pool_id.partition(':')[0]}:{uuid5(NAMESPACE_OID, f'{identity_pool_id} {number}')}"


def known_users(identity_pool_ids: Iterable[str], users: int) -> Iterator[Identity]:
    """Yields an identity for each of the users 0 to `users` in each of the pools."""
    now = int(time.time())
    for pool in identity_pool_ids:
        for number in range(users):
            login = Login(PROVIDER, Secret(user(number)))
            yield Identity(identity_id(pool, number), pool, now, now, frozenset({login}))


def fill_sqlite(database: Path, filled: Iterable[Identity]) -> str:
    """Creates the database with these identities, and returns its URL."""
    url = f"sqlite:///{database}"
    open_migrated_store(_configured(url)).close()
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        for pragma in _BULK:
            connection.execute(pragma)
        connection.execute("BEGIN")
        for table, rows in _rows(filled):
            names = [column.name for column in table.columns]
            places = ", ".join("?" * len(names))
            connection.executemany(f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({places})", rows)
        connection.execute("COMMIT")
    return url


def fill_postgresql(url: str, filled: Iterable[Identity]) -> str:
    """Creates the tables with these identities, as a superuser, and returns the URL."""
    open_migrated_store(_configured(url)).close()
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")  # the foreign keys are right
        connection.execute("TRUNCATE identities, linked_logins")  # what this transaction makes need not be logged
        for table, rows in _rows(filled):
            names = ", ".join(column.name for column in table.columns)
            with connection.cursor().copy(f"COPY {table.name} ({names}) FROM STDIN".encode()) as copy:
                for row in rows:
                    copy.write_row(row)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    return url


def fill_by_commits(url: str, filled: Iterable[Identity]) -> str:
    """Creates the tables of a store, commits these identities, and returns the URL."""
    deadline = Deadline(SystemClock())
    with closing(open_migrated_store(_configured(url))) as store:
        for some in _batches(filled, _COMMIT):
            store.commit(*(Change(None, each) for each in some), deadline=deadline)
    return url


def _configured(url: str) -> Config:
    return Config(store=Store(url=url))


def _batches(filled: Iterable[Identity], size: int) -> Iterator[Sequence[Identity]]:
    left = iter(filled)
    while some := list(islice(left, size)):
        yield some


def _rows(filled: Iterable[Identity]) -> Iterator[tuple[Table, Sequence[_Row]]]:
    """Yields the rows of both tables in turn; values are in the order of the columns."""
    for some in _batches(filled, _BATCH):
        yield identities, [_row(each) for each in some]
        yield linked_logins, [_login_row(each, login) for each in some for login in each.logins]


def _row(identity: Identity) -> _Row:
    return (
        identity.identity_id,
        identity.identity_pool_id,
        identity.creation_date,
        identity.last_modified_date,
        identity.disabled,
        identity.revision,
    )


def _login_row(identity: Identity, login: Login) -> _Row:
    return (
        login_key(identity.identity_pool_id, login),
        identity.identity_id,
        login.provider_name,
        login.user_identifier.reveal().encode(),
    )
