"""clients/python/tokend-agent.md matches the code."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from tests.clients.python.agent.conftest import Command
from tests.clients.python.agent.running import RunningAgent
from tests.clients.python.agent.settings import document
from tests.clients.toolchains import ROOT
from tests.support.replacing import replaced

from tokend_client.agent.commands import COMMANDS
from tokend_client.agent.configuration import AgentSettings, Health, Log, Service, TokenSettings
from tokend_client.agent.loading import load
from tokend_client.agent.measures import Measures
from tokend_client.testing import FakeTokendServer

PAGE = (ROOT / "clients" / "python" / "tokend-agent.md").read_text(encoding="utf-8")

SECTIONS: dict[str, type[BaseModel]] = {"tokend": Service, "health": Health, "log": Log, "tokens": TokenSettings}


def first_cells(heading: str) -> list[str]:
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)


def test_every_setting_is_described() -> None:
    described = [name for cell in first_cells("Settings") for name in re.findall(r"`([\w.]+)`", cell)]
    assert described == [f"{table}.{name}" for table, kind in SECTIONS.items() for name in kind.model_fields]
    assert SECTIONS.keys() == AgentSettings.model_fields.keys()


def test_every_command_is_described() -> None:
    described = {cell.split()[1].strip("`") for cell in first_cells("Begin")}
    assert described == COMMANDS.keys()


def test_every_metric_is_described() -> None:
    page = Measures(["orders"]).page([("orders", True, None)]).decode()
    assert {cell.strip("`") for cell in first_cells("Health")} == set(re.findall(r"^# TYPE (\w+)", page, re.MULTILINE))


def test_the_example_configuration_is_valid(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "agent.toml"
    path.write_text(example, encoding="utf-8")
    (token,) = load(path).tokens
    assert (token.mode, token.group) == (0o640, 10_001)


def test_the_first_commands_print_what_the_page_shows(tmp_path: Path, directory: Path, command: Command) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (shown,) = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    checks, runs = (text.splitlines() for text in shown.split("$ tokend-agent ")[1:])
    caller = tmp_path / "caller"
    caller.write_text("key", encoding="ascii")
    with FakeTokendServer(algorithm="ES256") as server:
        own = {
            "tokend.example.internal:50051": server.endpoint,
            'ca_file = "/etc/tokend/ca.crt"': "plaintext = true",
            "/var/run/secrets/tokend/caller": str(caller),
            "/run/orders": str(directory),
            "us-east-1:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21": server.identity_pool_id,
            "login.example.internal": server.developer_provider_name,
            "10001": str(os.getegid()),
        }
        assert all(written in example for written in own)
        config = tmp_path / "agent.toml"
        config.write_text(replaced(example, own) + '[health]\nlisten = "127.0.0.1:0"\n', encoding="utf-8")
        assert command(checks[0], "--config", config).stdout == checks[1] + "\n"
        with RunningAgent(config) as agent:
            agent.wait_for("ready: ")
            assert agent.end() == 0
            assert [form(line) for line in agent.log[: len(runs) - 1]] == [form(line) for line in runs[1:]]
    assert runs[0] == "run"


def form(line: str) -> str:
    """Returns a line of the log without its variable parts."""
    return re.sub(r"(?<=127.0.0.1:)\d+|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", "…", line)


def test_the_defaults_are_those_of_the_page(
    toml: Callable[[dict[str, Any]], Path], server: FakeTokendServer, directory: Path
) -> None:
    settings = load(toml(document(server, directory) | {"health": {}}))
    cells = dict(re.findall(r"^\| `([\w.]+)` \| .* \| `\"?([^`\"]+)\"?` \|$", PAGE, re.MULTILINE))
    for name, shown in cells.items():
        table, _, field = name.partition(".")
        value = getattr(settings.tokens[0] if table == "tokens" else getattr(settings, table), field)
        if name != "tokend.plaintext":
            assert written(field, value) == shown, name
    assert len(cells) == 9


def written(field: str, value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:04o}" if field == "mode" else json.dumps(value).strip('"')
