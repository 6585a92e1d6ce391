"""SIGHUP: the agent uses the new configuration, or keeps the previous one if the new one is invalid."""

import json
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.clients.python.agent.running import RunningAgent
from tests.clients.python.agent.settings import USER, document, token

from tokend_client.agent.agent import Agent, Change
from tokend_client.agent.connection import ConnectionProblem
from tokend_client.agent.loading import load
from tokend_client.agent.running import reload
from tokend_client.testing import FakeTokendServer

Toml = Callable[[dict[str, Any]], Path]


@pytest.fixture
def server() -> Iterator[FakeTokendServer]:
    """A server with the machine's clock, like the agent."""
    with FakeTokendServer(algorithm="ES256") as running:
        yield running


def all_valid(statuses: Any) -> bool:  # noqa: ANN401 - of an agent
    return all(each.is_valid for each in statuses)


def test_sighup_reloads_the_configuration_of_a_running_agent(
    toml: Toml, server: FakeTokendServer, directory: Path
) -> None:
    tables = document(server, directory)
    tables["tokens"] += [token(server, directory / "former", name="former")]
    with RunningAgent(toml(tables)) as agent:
        seen = agent.wait_for("ready: ")
        before, calls = (directory / "token").read_bytes(), len(server.requests)
        tables["tokens"][1] = token(server, directory / "new", name="new")
        tables["log"] = {"format": "json"}
        toml(tables)
        agent.process.send_signal(signal.SIGHUP)
        seen = agent.wait_for("new: written", after=seen)
        record = next(json.loads(line) for line in agent.log if "configuration reloaded" in line)
        assert record["message"].startswith("configuration reloaded; added: new; dropped: former; health at ")
        written = json.loads(next(line for line in agent.log if "new: written" in line))
        assert (written["level"], written["logger"], written["token"]) == ("INFO", "tokend_client.agent", "new")
        assert (directory / "token").read_bytes() == before, "a token with unchanged settings keeps its file"
        assert len(server.requests) == calls + 1
        assert (directory / "former").exists()
        states = httpx.get(f"{agent.health}/readyz", trust_env=False).json()["tokens"]
        assert [each["name"] for each in states] == ["orders", "new"]
        metrics = httpx.get(f"{agent.health}/metrics", trust_env=False).text
        assert 'token="new"' in metrics
        assert 'token="former"' not in metrics
        toml(tables | {"tokens": [token(server, directory / "token", mode="0777", logins={"x": ""})]})
        agent.process.send_signal(signal.SIGHUP)
        seen = agent.wait_for("the configuration cannot be used; keeping the previous one", after=seen)
        refused = json.loads(agent.log[seen - 1])
        assert (refused["level"], "tokens.orders.mode: " in refused["message"]) == ("ERROR", True)
        assert agent.end() == 0
        assert USER not in "\n".join(agent.log)


@pytest.fixture
def agent(toml: Toml, server: FakeTokendServer, directory: Path) -> Iterator[Agent]:
    with Agent(load(toml(document(server, directory)))) as running:
        assert running.wait_for(all_valid, 60)
        yield running


def test_changed_settings_of_a_token_apply_to_its_file(
    agent: Agent, toml: Toml, server: FakeTokendServer, directory: Path
) -> None:
    change = agent.reconfigure(load(toml(document(server, directory, mode="0640", format="json"))))
    assert change == Change([], ["orders"], [])
    assert agent.wait_for(lambda statuses: all(each.is_from_here for each in statuses), 60)
    assert json.loads((directory / "token").read_bytes())["token"]
    assert (directory / "token").stat().st_mode & 0o777 == 0o640


def test_two_tokens_may_change_places(agent: Agent, toml: Toml, server: FakeTokendServer, directory: Path) -> None:
    first, second = token(server, directory / "token"), token(server, directory / "other", name="other")
    agent.reconfigure(load(toml(document(server, directory) | {"tokens": [first, second]})))
    assert agent.wait_for(all_valid, 60)
    swapped = [first | {"file": second["file"]}, second | {"file": first["file"]}]
    change = agent.reconfigure(load(toml(document(server, directory) | {"tokens": swapped})))
    assert change == Change([], ["orders", "other"], [])
    assert agent.wait_for(lambda statuses: all(each.is_from_here for each in statuses), 60)
    assert not [each.problem for each in agent.statuses() if each.problem]


def test_a_reload_can_change_the_service(agent: Agent, toml: Toml, directory: Path) -> None:
    with FakeTokendServer(algorithm="ES256") as other:
        tables = document(other, directory)
        tables["tokens"] += [token(other, directory / "more", name="more")]
        agent.reconfigure(load(toml(tables)))
        assert agent.wait_for(all_valid, 60)
        assert other.requests


@pytest.mark.parametrize("listen", ["", "unix:", "127.0.0.1:0"])
def test_a_reload_moves_the_health_server_to_its_new_address(
    listen: str, agent: Agent, toml: Toml, server: FakeTokendServer, directory: Path
) -> None:
    former = agent.health_address
    if listen == "unix:":
        listen += str(directory / "health.sock")
    if listen == "127.0.0.1:0":
        agent.reconfigure(load(toml(document(server, directory) | {"health": {"listen": ""}})))
    agent.reconfigure(load(toml(document(server, directory) | {"health": {"listen": listen}})))
    if listen.endswith(":0"):
        assert httpx.get(f"http://{agent.health_address}/livez", trust_env=False).text == "ok\n"
    else:
        assert (agent.health_address or "") == listen
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{former}/livez", trust_env=False)


def test_health_opens_to_other_machines_at_the_same_port(
    agent: Agent, toml: Toml, server: FakeTokendServer, directory: Path
) -> None:
    port = str(agent.health_address).rpartition(":")[2]
    for listen in (f"0.0.0.0:{port}", f"localhost:{port}", f"127.0.0.1:{port}"):
        tables = document(server, directory) | {"health": {"listen": listen, "other_machines": True}}
        agent.reconfigure(load(toml(tables)))
        assert agent.health_address == listen.replace("localhost", "127.0.0.1")
        assert httpx.get(f"http://127.0.0.1:{port}/livez", trust_env=False).text == "ok\n"


def test_health_keeps_its_address_if_a_reload_fails(
    agent: Agent, toml: Toml, server: FakeTokendServer, directory: Path
) -> None:
    health = str(agent.health_address)
    port = health.rpartition(":")[2]
    with socket.create_server(("127.0.0.2", int(port))):
        tables = document(server, directory) | {"health": {"listen": f"0.0.0.0:{port}", "other_machines": True}}
        with pytest.raises(OSError, match="in use"):
            agent.reconfigure(load(toml(tables)))
        assert agent.health_address == health
        assert httpx.get(f"http://{health}/livez", trust_env=False).text == "ok\n"
        tables["health"] = {"listen": f"localhost:{port}"}
        tables["tokend"] = {"endpoint": "localhost:1", "ca_file": str(directory / "none.pem")}
        with pytest.raises(ConnectionProblem):
            agent.reconfigure(load(toml(tables)))
        assert httpx.get(f"http://{health}/livez", trust_env=False).text == "ok\n"


def test_a_configuration_that_cannot_be_used_changes_nothing(
    agent: Agent, toml: Toml, server: FakeTokendServer, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    health = agent.health_address
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        tables = document(server, directory, name="other") | {"health": {"listen": f"127.0.0.1:{port}"}}
        reload(agent, lambda: load(toml(tables)))
    assert "health.listen: Address already in use" in caplog.text
    tables = document(server, directory, name="other")
    tables["health"] = {"listen": f"unix:{directory / 'health.sock'}"}
    tables["tokend"] = {"endpoint": "localhost:1", "ca_file": str(directory / "none.pem")}
    with pytest.raises(ConnectionProblem):
        agent.reconfigure(load(toml(tables)))
    assert "tokend.ca_file" not in caplog.text
    reload(agent, lambda: load(toml(tables)))
    assert "tokend.ca_file: " in caplog.text
    assert [each.name for each in agent.statuses()] == ["orders"]
    assert agent.health_address == health
    assert httpx.get(f"http://{health}/readyz/orders", trust_env=False).status_code == 200
    assert not (directory / "health.sock").exists()


def test_a_defect_does_not_end_the_agent(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> Any:  # noqa: ANN401 - nothing
        raise LookupError(USER)

    reload(agent, fail)
    assert "a defect of tokend-agent: LookupError" in caplog.text
    assert USER not in caplog.text
    assert not agent.is_stopping
