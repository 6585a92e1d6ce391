"""Fixtures that the tests share."""

import faulthandler
import os
from collections.abc import Iterator

import pytest
from tests.progress import ProgressReporter
from tests.support.server_process import ServerProcess, write_config

#: Seconds that the process has to end after its tests.
_LAST_PATIENCE = 60


def pytest_configure(config: pytest.Config) -> None:
    """Replaces the dots of a quiet run by a line for each file."""
    if config.get_verbosity() < 0 and not hasattr(config, "workerinput"):
        config.pluginmanager.register(ProgressReporter(config))


def pytest_unconfigure() -> None:
    """Reports a thread that a test has left running as a failure: the process would never end."""
    faulthandler.dump_traceback_later(_LAST_PATIENCE, exit=True, file=2)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TOKEND_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def tokend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of its own process, on a fresh store."""
    with ServerProcess(write_config(tmp_path_factory.mktemp("tokend"))) as server:
        yield server
