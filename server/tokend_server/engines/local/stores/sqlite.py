"""The store on SQLite, the embedded default."""

from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool, QueuePool

from tokend_server.config import ConfigError
from tokend_server.engines.local.stores.sql import SqlStore

#: Seconds that a statement waits for another process's write before it fails.
BUSY_TIMEOUT = 5.0

_ON_CONNECT = (
    "PRAGMA journal_mode = WAL",  # reads go on beside a write
    "PRAGMA synchronous = FULL",  # a commit has reached the disk when it returns
    "PRAGMA foreign_keys = ON",
    "PRAGMA mmap_size = 268435456",  # threads share the pages of the file, instead of each copying its own
)


def open_store(path: Path) -> SqlStore:
    """Opens a database file; if there is none, it is created, for its owner's eyes only.

    Args:
        path: The database file.

    Raises:
        ConfigError: The file cannot be made.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise ConfigError([f"store.url: {path}: {error.strerror}"]) from error
    reads = _engine(path, poolclass=NullPool)
    # SQLite has one writer at a time: threads wait here for their turn, which is fairer and cheaper than to try again.
    writes = _engine(path, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=BUSY_TIMEOUT)
    event.listen(writes, "begin", _begin_immediate)
    return SqlStore(reads, writes)


def _engine(path: Path, **pooling: Any) -> Engine:  # noqa: ANN401 - SQLAlchemy's own options
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        # Without an isolation level the driver begins no transactions of its own.
        connect_args={"timeout": BUSY_TIMEOUT, "isolation_level": None},
        hide_parameters=True,
        paramstyle="named",
        **pooling,
    )
    event.listen(engine, "connect", _on_connect)
    return engine


def _on_connect(connection: SqliteConnection, _record: object) -> None:
    for statement in _ON_CONNECT:
        connection.execute(statement)


def _begin_immediate(connection: Connection) -> None:
    # A transaction that read first and locked later could not be upgraded once another one has written.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
