"""Fixtures that the tests share."""

import faulthandler
import gc
import inspect
import os
import ssl
from collections.abc import Generator, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.hooks
import botocore.session
import httpx
import pytest
from hypothesis import HealthCheck, settings
from tests.progress import ProgressReporter
from tests.support.repeated_migrations import RepeatedMigrations
from tests.support.server_process import ServerProcess, write_config

if TYPE_CHECKING:
    from tests.support.postgresql import PostgresqlServer

#: Seconds for the process to end after its tests.
_EXIT_TIMEOUT = 60

#: The arguments of `gc.set_threshold`. With Python's defaults, garbage collection takes a sixth of the CPU time of test
#: processes, since most loaded objects stay.
_COLLECTIONS = (100_000, 50, 100)


pytest_plugins = ["tests.scheduling"]


def pytest_configure(config: pytest.Config) -> None:
    """Makes tests independent of the machine's load, and replaces the dots of a quiet run by a line per file."""
    gc.set_threshold(*_COLLECTIONS)
    settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("any machine")
    if config.get_verbosity() < 0 and not hasattr(config, "workerinput"):
        config.pluginmanager.register(ProgressReporter(config))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Hides the tests themselves from the garbage collector: a pass over their 740,000 objects takes 0.6 s."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Reports a thread that a test has left running as a failure: the process would never end.

    Garbage is collected here once: pytest collects five times, and each pass would visit all remaining objects.

    Does nothing in a worker of pytest-xdist: it waits for the other workers after its tests, and is ended then.
    """
    gc.collect()
    gc.freeze()
    if hasattr(config, "workerinput"):
        return
    faulthandler.dump_traceback_later(_EXIT_TIMEOUT, exit=True, file=2)


@pytest.fixture(scope="session", autouse=True)
def _aws_models_are_read_once() -> Iterator[None]:
    """Saves a third of a second for each of some thousand engines, which would list the data and read 2 MB of JSON.

    Also saves a hundredth of a second for the new names of a session's events, which depend only on the old ones, and
    for the signatures of their handlers, of which flags of their code are enough. A cache of handlers would keep all
    clients in memory.
    """
    accepts_kwargs = botocore.hooks.accepts_kwargs

    def accepts(handler: Any) -> bool:  # noqa: ANN401 - any callable
        code = getattr(handler, "__code__", None)
        return bool(code.co_flags & inspect.CO_VARKEYWORDS if code else accepts_kwargs(handler))

    renamed = botocore.hooks.EventAliaser(botocore.hooks.HierarchicalEmitter())._alias_event_name  # noqa: SLF001 - no other way
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.hooks.EventAliaser, "_alias_event_name", lambda _, name: renamed(name))
        patch.setattr(botocore.hooks, "accepts_kwargs", accepts)
        patch.setattr(botocore.session, "create_loader", cache(botocore.session.create_loader))
        yield


@pytest.fixture(scope="session", autouse=True)
def _authorities_are_read_once() -> Iterator[None]:
    """Saves 20 ms for each httpx client, which reads the public certificate authorities in any case."""
    made = httpx.create_ssl_context()

    def create(verify: ssl.SSLContext | str | bool, cert: Any, trust_env: bool) -> ssl.SSLContext:  # noqa: ANN401, FBT001 - as httpx has it
        named = trust_env and any(map(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR")))
        return made if verify is True and not (cert or named) else httpx.create_ssl_context(verify, cert, trust_env)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("httpx._transports.default.create_ssl_context", create)
        yield


@pytest.fixture(scope="session", autouse=True)
def _empty_files_are_migrated_once() -> Iterator[None]:
    """Runs Alembic only for the first test of a process that needs it."""
    from tokend_server.engines.local.stores.sql.migrations import upgrade  # noqa: PLC0415 - it is slow to load

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upgrade, "upgrade", RepeatedMigrations(upgrade.upgrade))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("TOKEND_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def tokend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server in a separate process, with a new store."""
    with ServerProcess(write_config(tmp_path_factory.mktemp("tokend"))) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> "PostgresqlServer":
    """A PostgreSQL server that all workers of the run share; each test uses its own schema."""
    from tests.support.postgresql import run_directory, shared_server  # noqa: PLC0415 - few tests need the driver

    return shared_server(run_directory(tmp_path_factory))
