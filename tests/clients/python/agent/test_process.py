"""tokend-agent as a process: signals, restarts, health, and readers of its files."""

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.clients.python.agent.conftest import Command
from tests.clients.python.agent.running import TIMEOUT, RunningAgent
from tests.clients.python.agent.settings import USER, document, token
from tests.support.namespaces import first_process

from tokend_client.testing import FakeTokendServer

Toml = Callable[[dict[str, Any]], Path]

#: The lifetime in seconds of tokens whose refresh is due soon.
SHORT = 3


@pytest.fixture
def server() -> Iterator[FakeTokendServer]:
    """A server with the machine's clock, like the agent."""
    with FakeTokendServer(algorithm="ES256") as running:
        yield running


def test_an_agent_serves_until_sigterm(command: Command, toml: Toml, server: FakeTokendServer, directory: Path) -> None:
    tables = document(server, directory)
    tables["tokens"] += [token(server, directory / "projected" / "token", name="other", layout="projected")]
    (directory / "projected").mkdir()
    config = toml(tables)
    with RunningAgent(config) as agent:
        agent.wait_for("ready: each file holds a valid token")
        answer = httpx.get(f"{agent.health}/readyz", trust_env=False)
        assert answer.status_code == 200
        assert [(each["name"], each["state"]) for each in answer.json()["tokens"]] == [
            ("orders", "valid"),
            ("other", "valid"),
        ]
        assert httpx.get(f"{agent.health}/livez", trust_env=False).text == "ok\n"
        metrics = httpx.get(f"{agent.health}/metrics", trust_env=False).text
        assert 'tokend_agent_token_valid{token="other"} 1.0' in metrics
        written = (directory / "token").read_text(encoding="ascii")
        assert command("token", "orders", "--config", config).stdout == written + "\n"
        assert agent.end() == 0
        log = "\n".join(agent.log)
    assert (directory / "token").read_text(encoding="ascii") == written, "the files stay"
    for secret in (USER, *written.split(".")):
        assert secret not in log + answer.text + metrics


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_agent_ends_while_the_service_hangs(
    toml: Toml, server: FakeTokendServer, directory: Path, number: signal.Signals
) -> None:
    server.pause()
    tables = document(server, directory)
    tables["tokend"]["timeout_seconds"] = 60
    with RunningAgent(toml(tables)) as agent:
        server.wait_for_calls(1)
        assert agent.end(number) == 0
        assert "Traceback" not in "\n".join(agent.log)
    server.resume()


#: A program that receives SIGTERM just before it waits: the last moment at which a handler would find no waiting thread
#: to wake.
SIGNALLED_BEFORE_IT_WAITS = """
import pathlib, signal, sys
from tokend_client.agent.agent import Agent
from tokend_client.agent.loading import load
from tokend_client.agent.running import queue_signals, on_signals

def raises(_statuses):
    signal.raise_signal(signal.SIGTERM)
    return False

signals = queue_signals(signal.SIGTERM)
with Agent(load(pathlib.Path(sys.argv[1])), serves_health=False) as agent:
    on_signals(signals, agent.stop)
    agent.wait_for(lambda statuses: all(status.is_valid for status in statuses))
    agent.wait_for(raises)
    print("ended")
"""


def test_a_signal_between_the_last_check_and_the_wait_is_not_lost(
    toml: Toml, server: FakeTokendServer, directory: Path
) -> None:
    arguments = [sys.executable, "-c", SIGNALLED_BEFORE_IT_WAITS, str(toml(document(server, directory)))]
    ended = subprocess.run(arguments, check=True, capture_output=True, encoding="utf-8", timeout=TIMEOUT)
    assert ended.stdout == "ended\n"


#: The agent, which receives a signal as soon as it requests tokens.
SIGNALLED_WHEN_IT_BEGINS = """
import signal, sys
from tokend_client.agent import main
from tokend_client.agent.agent import Agent

number, begin = int(sys.argv.pop(1)), Agent.__enter__

def begun(agent):
    begin(agent)
    signal.raise_signal(number)
    return agent

Agent.__enter__ = begun
sys.exit(main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_at_the_start_has_its_usual_effect(
    toml: Toml, server: FakeTokendServer, directory: Path, number: signal.Signals
) -> None:
    program = [sys.executable, "-c", SIGNALLED_WHEN_IT_BEGINS, str(int(number))]
    with RunningAgent(toml(document(server, directory)), program=program) as agent:
        if number is signal.SIGHUP:
            agent.wait_for("configuration reloaded")
            agent.process.terminate()
        assert agent.process.wait(TIMEOUT) == 0


#: The agent, which receives SIGTERM while it is being loaded.
SIGNALLED_WHILE_IT_IS_LOADED = """
import os, signal, sys
from tokend_client.agent import main

class Loading:
    def find_spec(self, name, *_):
        if name == "tokend_client.agent.commands": os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Loading())
main()
"""


def test_sigterm_ends_the_agent_while_it_is_loaded_as_a_containers_first_process(
    toml: Toml, server: FakeTokendServer, directory: Path
) -> None:
    config = str(toml(document(server, directory)))
    program = [*first_process(), sys.executable, "-c", SIGNALLED_WHILE_IT_IS_LOADED, "check-config", "--config", config]
    ended = subprocess.run(program, check=False, capture_output=True, encoding="utf-8", timeout=TIMEOUT)
    assert (ended.returncode, ended.stdout) == (128 + signal.SIGTERM, "")


def test_the_existing_token_stays_while_the_service_hangs(
    toml: Toml, server: FakeTokendServer, directory: Path
) -> None:
    tables = document(server, directory, token_duration_seconds=SHORT)
    tables["tokend"]["timeout_seconds"] = 2
    with RunningAgent(toml(tables)) as agent:
        agent.wait_for("ready: ")
        server.pause()
        seen = agent.wait_for("has expired")
        assert any("DEADLINE_EXCEEDED" in line for line in agent.log)
        written = (directory / "token").read_bytes()
        assert written.count(b".") == 2
        server.resume()
        agent.wait_for("orders: written", after=seen)
        assert (directory / "token").read_bytes() != written
        assert agent.end() == 0


def test_a_failed_token_is_reported_by_its_name(
    command: Command, toml: Toml, server: FakeTokendServer, directory: Path
) -> None:
    tables = document(server, directory)
    tables["tokens"] += [token(server, directory / "none" / "token", name="lost")]
    socket_path = directory / "health.sock"
    tables["health"]["listen"] = f"unix:{socket_path}"
    config = toml(tables)
    with RunningAgent(config) as agent:
        agent.wait_for("lost: ")
        agent.wait_for("orders: written")
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket_path)), base_url="http://agent") as http:
            assert http.get("/readyz").status_code == 503
            assert http.get("/readyz/orders").status_code == 200
            (lost,) = http.get("/readyz/lost").json()["tokens"]
            assert http.get("/readyz/other").status_code == 404
            assert http.get("/").status_code == 404
            assert http.head("/livez").status_code == 200
        assert lost["state"] == "missing"
        assert "create the directory" in lost["problem"]
        asked = command("ready", "--config", config)
        assert asked.returncode == 255
        assert "lost: missing: " in asked.stderr
        (directory / "none").mkdir()
        agent.wait_for("ready: each file holds a valid token")
        assert command("ready", "--config", config).returncode == 0
        assert agent.end() == 0
    assert not socket_path.exists()
    assert "no agent responds" in command("ready", "--config", config).stderr


def test_the_socket_of_a_killed_agent_is_replaced_and_that_of_a_running_one_is_not(
    toml: Toml, server: FakeTokendServer, directory: Path
) -> None:
    tables = document(server, directory)
    tables["health"]["listen"] = f"unix:{directory / 'health.sock'}"
    config = toml(tables)
    with RunningAgent(config) as killed:
        killed.wait_for("ready: ")
        killed.end(signal.SIGKILL)
    with RunningAgent(config) as agent:
        agent.wait_for("ready: ")
        with RunningAgent(config) as second:
            second.wait_for("health.listen: ")
            assert second.process.wait(TIMEOUT) == 253
        assert agent.end() == 0


def test_a_second_agent_takes_over_when_the_first_is_killed(
    toml: Toml, server: FakeTokendServer, directory: Path
) -> None:
    config = toml(document(server, directory))
    with RunningAgent(config) as first:
        first.wait_for("orders: written")
        with RunningAgent(config) as second:
            second.wait_for("another process keeps this file")
            second.wait_for("ready: each file holds a valid token")
            first.end(signal.SIGKILL)
            second.wait_for("orders: written")
            assert second.end() == 0


def test_systemd_is_notified_of_readiness_and_the_end(toml: Toml, server: FakeTokendServer, directory: Path) -> None:
    path = directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(path))
        supervisor.settimeout(TIMEOUT)
        with RunningAgent(toml(document(server, directory)), environment={"NOTIFY_SOCKET": str(path)}) as agent:
            assert supervisor.recv(1000).startswith(b"READY=1\n")
            agent.process.terminate()
            assert supervisor.recv(1000) == b"STOPPING=1"
            assert agent.process.wait(TIMEOUT) == 0


#: A program that reads a token, forks, and reads it again in each process when its standard input ends.
FORKING_READER = """
import os, sys, pathlib
path = pathlib.Path(sys.argv[1])
first = path.read_bytes()
child = os.fork()
if child:
    print("forked", flush=True)
os.read(0, 1)
is_old = path.read_bytes() == first
if not child:
    os._exit(is_old)
sys.exit(is_old or os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_program_that_forks_reads_fresh_tokens_in_each_process(
    toml: Toml, server: FakeTokendServer, directory: Path
) -> None:
    path = directory / "token"
    with RunningAgent(toml(document(server, directory, token_duration_seconds=SHORT))) as agent:
        agent.wait_for("ready: ")
        first = path.read_bytes()
        command = [sys.executable, "-c", FORKING_READER, str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
            assert reader.stdin
            assert reader.stdout
            assert reader.stdout.readline() == b"forked\n"
            agent.wait_for("orders: written", after=agent.wait_for("ready: "))
            reader.stdin.close()
            assert reader.wait(TIMEOUT) == 0
        assert path.read_bytes() != first
        assert agent.end() == 0
