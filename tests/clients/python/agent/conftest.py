import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.clients.python.agent.settings import document
from tests.clients.python.facades import OPTIONS
from tests.fakes.clock import FakeClock

from tokend_client import CachingPolicy, Client, TokenRequest
from tokend_client.agent.commands import run
from tokend_client.agent.configuration import TokenSettings
from tokend_client.agent.keeper import Keeper
from tokend_client.agent.measures import Measures
from tokend_client.agent.requests import request_for
from tokend_client.agent.token_file import TokenFile
from tokend_client.shared import Shared
from tokend_client.source_state import SourceState
from tokend_client.telemetry import Telemetry
from tokend_client.testing import FakeTokendServer

#: The lifetime of tokens in these tests, in seconds.
LIFE = 900


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "tokens"
    made.mkdir()
    return made


MakeKeeper = Callable[..., Keeper]


@pytest.fixture
def make_keeper(server: FakeTokendServer, clock: FakeClock, directory: Path) -> Iterator[MakeKeeper]:
    """Creates keepers of the file `token`, without jitter. The test runs their steps."""
    with ExitStack() as stack:
        client = stack.enter_context(Client(server.endpoint, plaintext=True, options=OPTIONS, timeout=60))

        def make(measures: Measures | None = None, on: FakeClock = clock, **changes: object) -> Keeper:
            table = document(server, directory)["tokens"][0] | {"token_duration_seconds": LIFE} | changes
            settings = TokenSettings.model_validate(table)
            named = TokenRequest(identity_pool_id=settings.identity_pool_id, logins=settings.logins)
            keeper = Keeper(
                settings,
                TokenFile(settings, on.now),
                lambda: client.get_token(request_for(settings)),
                SourceState(named, CachingPolicy(clock=on, random=lambda: 0.0), Shared(Telemetry())),
                on,
                measures or Measures([settings.name]),
            )
            stack.callback(keeper.close)
            return keeper

        yield make


@dataclass(frozen=True)
class Ended:
    """A finished command line."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Ended]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command line of tokend-agent in this process; not for `run`, which uses signals and threads."""

    def run_line(*arguments: str | Path) -> Ended:
        capsys.readouterr()
        code = run([str(each) for each in arguments])
        return Ended(code, *capsys.readouterr())

    return run_line


@pytest.fixture
def toml(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """Writes a configuration."""

    def write(tables: dict[str, Any]) -> Path:
        path = tmp_path / "agent.toml"
        lines = []
        for name, table in tables.items():
            for each in table if isinstance(table, list) else [table]:
                lines.append(f"[[{name}]]" if isinstance(table, list) else f"[{name}]")
                lines += [f"{key} = {_value(value)}" for key, value in each.items()]
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    return write


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_value(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)
