"""The store on SQLite, the embedded default."""

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from tokend_server.clock import SystemClock
from tokend_server.config import Config
from tokend_server.engines.local.keys.keyring import SigningKey
from tokend_server.engines.local.stores.sql.store import SqlStore
from tokend_server.engines.local.stores.sqlite.checkpoints import Checkpoints
from tokend_server.engines.local.stores.sqlite.connections import ReadConnections
from tokend_server.engines.local.stores.sqlite.database import LOCK_TIMEOUT, SqliteDatabase, unavailable
from tokend_server.engines.local.stores.sqlite.database_file import DatabaseFile, log_of
from tokend_server.engines.local.stores.sqlite.file_checks import (
    FileRefused,
    check_log_not_orphaned,
    check_mode,
    claim_database,
)
from tokend_server.engines.local.stores.sqlite.write_ahead_log import WriteAheadLog
from tokend_server.engines.local.stores.sqlite.write_turn import WriteTurn
from tokend_server.errors import ConfigError, EngineUnavailable
from tokend_server.metrics import Metrics
from tokend_server.model import Secret

_ON_CONNECT = (
    "PRAGMA synchronous = FULL",  # a commit is on the disk when it returns
    "PRAGMA foreign_keys = ON",
    "PRAGMA mmap_size = 0",  # if a mapped file were truncated, the process would be killed
    "PRAGMA temp_store = MEMORY",  # reads need no descriptor, which might not be available
    "PRAGMA secure_delete = ON",  # a removed key does not remain in the file's free pages
    # The pages in the log, 32 MiB, from which on commits copy them because the thread is late.
    "PRAGMA wal_autocheckpoint = 8192",
    "SELECT count(*) FROM sqlite_master",  # opens the log too
)

#: Advice for operators about an unusable database, by SQLite's codes.
_ADVICE: Mapping[str, str] = {
    "SQLITE_BUSY": "is locked: check which process holds the lock",
    "SQLITE_CANTOPEN": "cannot be opened: check that it is a file, and its permissions and those of its directory",
    "SQLITE_CORRUPT": "is damaged: put a copy in its place with `tokend restore`",
    "SQLITE_NOTADB": "is not a SQLite database: check store.url, or put a copy in its place with `tokend restore`",
    "SQLITE_READONLY": "cannot be written: check its permissions, those of its directory, and the mount",
}

#: The default maximum number of concurrent reads.
READERS = 4

#: The number of further concurrent reads, for readiness checks, keys, and calls whose threads were replaced.
_OTHER_READERS = 4

#: Seconds that a start waits for a file that another process has locked.
START_LOCK_TIMEOUT = 30.0

#: Seconds after which it logs that it waits, and between two attempts.
_LOCK_WARNING_AFTER = 1.0
_LOCK_INTERVAL = 0.05

_log = logging.getLogger(__name__)


class SqliteStore(SqlStore):
    """A store on one SQLite file, whose log is copied into the file while a service runs.

    Args:
        database: The database.
        file: The open file and log.
        log: The write-ahead log.
    """

    def __init__(self, database: SqliteDatabase, file: DatabaseFile, log: WriteAheadLog) -> None:
        super().__init__(database)
        self._file = file
        self.log = log
        self._checkpoints = Checkpoints(log, SystemClock())

    def check(self) -> None:
        self._file.check_with_log()
        super().check()

    def replace_material(self, key: SigningKey, material: Secret) -> None:
        super().replace_material(key, material)
        self._forget(key.kid)

    def remove_signing_key(self, kid: str, check: Callable[[Sequence[SigningKey]], None]) -> None:
        super().remove_signing_key(kid, check)
        self._forget(kid)

    def start(self, metrics: Metrics) -> None:
        metrics.watch_store_file(self._checkpoints.seconds_behind)
        self._checkpoints.start()

    def close(self) -> None:
        self._checkpoints.stop()
        self.log.close()
        super().close()

    def _forget(self, kid: str) -> None:
        """Erases a removed or replaced private key from the log; readers of keys do not see it any more."""
        try:
            problem = "" if self.log.erase_deleted() else "another process reads an older state"
        except EngineUnavailable as error:
            problem = error.text
        if problem:
            _log.warning(
                "the write-ahead log still contains a removed private key, until it is overwritten",
                extra={"key_id": kid, "problem": problem},
            )


def open_configured(config: Config) -> SqliteStore:
    """Opens the database in the configuration, for as many concurrent calls as there are threads.

    Raises:
        ConfigError: As `open_store`.
        EngineUnavailable: As `open_store`.
    """
    threads = config.grpc.threads
    return open_store(
        config.store_file,
        setting=config.store_setting,
        readers=threads + _OTHER_READERS,
        patient_writers=max(1, threads // 2),
    )


def check_settings(config: Config) -> None:
    """Checks that an existing database file may be opened, without opening it.

    Raises:
        ConfigError: It may not.
    """
    path = config.store_file
    try:
        check_log_not_orphaned(path)
        with suppress(FileNotFoundError):
            check_mode(path)
    except FileRefused as refused:
        raise ConfigError([f"{config.store_setting}: {refused}"]) from refused
    except OSError as error:
        raise ConfigError([f"{config.store_setting}: {path}: {error.strerror}"]) from error


def open_store(
    path: Path, *, setting: str = "store.url", readers: int = READERS, patient_writers: int = READERS
) -> SqliteStore:
    """Opens a database file; if it does not exist, creates it with access only for its owner.

    All connections are opened at once.

    Args:
        path: The database file.
        setting: The setting that names it.
        readers: The maximum number of concurrent reads.
        patient_writers: The maximum number of writes that wait behind a stuck one.

    Raises:
        ConfigError: The file cannot be created, everybody can read it, it is not tokend's, or its log is missing.
        EngineUnavailable: It is not a database, or it stays locked.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_log_not_orphaned(path)
        path.touch(mode=0o600)
        check_mode(path)
        _retry_until_unlocked(path, lambda: _switch_to_wal(path))
    except FileRefused as refused:
        raise ConfigError([f"{setting}: {refused}"]) from refused
    except FileExistsError as error:  # from a directory, because an existing file is opened
        raise ConfigError([f"{setting}: {path}: {error.filename} is not a directory"]) from error
    except OSError as error:
        raise ConfigError([f"{setting}: {path}: {error.strerror}"]) from error
    writes = _engine(path, poolclass=QueuePool, pool_size=1, max_overflow=0)
    try:
        connections = ReadConnections(_engine(path, poolclass=NullPool), readers)
        writes.connect().close()
        file = DatabaseFile(path)
        turn = WriteTurn(patient_writers, SystemClock())
        log = WriteAheadLog(path, _dedicated_connection(path), file, turn)
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise unavailable(error) from error
    return SqliteStore(SqliteDatabase(connections, writes, file, turn, log.note_write), file, log)


def _engine(path: Path, **pooling: Any) -> Engine:  # noqa: ANN401 - SQLAlchemy's own options
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        # Without an isolation level, the driver starts no transactions by itself.
        connect_args={"timeout": LOCK_TIMEOUT, "isolation_level": None, "check_same_thread": False},
        hide_parameters=True,
        **pooling,
    )
    event.listen(engine, "connect", _on_connect)
    return engine


def _on_connect(connection: sqlite3.Connection, _record: object) -> None:
    for statement in _ON_CONNECT:
        connection.execute(statement)


def _dedicated_connection(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    _on_connect(connection, None)
    return connection


def _retry_until_unlocked(path: Path, attempt: Callable[[], bool]) -> None:
    """Retries until the file is unlocked, logs that it waits, and fails after `START_LOCK_TIMEOUT`."""
    started, is_logged = time.monotonic(), False
    while not attempt():
        waited = time.monotonic() - started
        if waited >= START_LOCK_TIMEOUT:
            raise _unusable(path, "SQLITE_BUSY")
        if waited >= _LOCK_WARNING_AFTER and not is_logged:
            is_logged = True
            _log.warning(
                "waiting for the database, which another process has locked",
                extra={"path": str(path), "seconds_at_most": START_LOCK_TIMEOUT},
            )
        time.sleep(_LOCK_INTERVAL)


def _switch_to_wal(path: Path) -> bool:
    """Enables WAL mode once for the file, under a lock: with SQLite's own, concurrent attempts of processes fail.

    Returns:
        False if another process has locked the file.

    Raises:
        FileRefused: The file is not of this service, or its log is missing.
        OSError: Its directory cannot be locked.
    """
    directory = os.open(log_of(path).parent, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with closing(sqlite3.connect(path, timeout=_LOCK_INTERVAL, isolation_level=None)) as connection:
            claim_database(connection, path)
            connection.execute("PRAGMA journal_mode = WAL")
    except BlockingIOError:
        return False
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            return False
        raise _unusable(path, error.sqlite_errorname) from error
    finally:
        os.close(directory)
    return True


def _unusable(path: Path, code: str) -> EngineUnavailable:
    advice = f"{path} {_ADVICE.get(code, 'cannot be used: check the file and its file system')}."
    return EngineUnavailable(f"The identity store does not answer ({code}).").with_advice(advice)
