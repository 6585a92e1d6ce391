"""tokend-agent as a process: signals, commands, health, and full or read-only disks."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.clients.python.agent.conftest import Command
from tests.clients.python.agent.running import COMMAND, TIMEOUT, RunningAgent, once
from tests.clients.python.agent.settings import USER, document, token
from tests.clients.toolchains import leave_out
from tests.support.namespaces import first_process

from tokend_client import ErrorReason
from tokend_client.testing import Failure, FakeTokendServer

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


def test_a_signal_between_the_last_look_and_the_wait_is_not_lost(
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
def test_a_signal_that_comes_when_it_begins_does_what_it_does_later(
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


def test_a_signal_ends_it_while_it_is_loaded_in_a_container_too(
    toml: Toml, server: FakeTokendServer, directory: Path
) -> None:
    config = str(toml(document(server, directory)))
    program = [*first_process(), sys.executable, "-c", SIGNALLED_WHILE_IT_IS_LOADED, "check-config", "--config", config]
    ended = subprocess.run(program, check=False, capture_output=True, encoding="utf-8", timeout=TIMEOUT)
    assert (ended.returncode, ended.stdout) == (128 + signal.SIGTERM, "")


def test_a_hung_service_leaves_the_token_that_there_is(toml: Toml, server: FakeTokendServer, directory: Path) -> None:
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


def test_once_writes_each_file_and_ends(toml: Toml, server: FakeTokendServer, directory: Path) -> None:
    config = toml(document(server, directory, mode="0644"))
    done = once("--config", config)
    assert done.returncode == 0
    assert "every user of this machine may read" in done.stderr
    first = (directory / "token").read_text(encoding="ascii")
    again = once("--config", config, "--timeout", "1e300", environment={"TOKEND_AGENT_CONFIG": "/none"})
    assert (again.returncode, again.stderr.count("Error")) == (0, 0)
    assert (directory / "token").read_text(encoding="ascii") != first


def test_once_reports_missing_tokens_after_its_timeout(toml: Toml, server: FakeTokendServer, directory: Path) -> None:
    server.fail(Failure(ErrorReason.NOT_AUTHORIZED))
    config = toml(document(server, directory))
    done = once("--timeout", "0.5", environment={"TOKEND_AGENT_CONFIG": str(config)})
    assert done.returncode == 255
    assert re.search(
        r"within the time limit, there was no token for\n  orders: (no new token: .*|missing)\n$", done.stderr
    )
    assert not (directory / "token").exists()
    assert once("--timeout", "nan", "--config", config).returncode == 252


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


@pytest.mark.parametrize("ends", [True, False])
def test_a_token_that_has_expired_is_not_printed(
    command: Command, toml: Toml, server: FakeTokendServer, directory: Path, *, ends: bool
) -> None:
    config = toml(document(server, directory, token_duration_seconds=1 if ends else 60))
    assert command("token", "orders", "--config", config).returncode == 255
    assert "there is no token yet" in command("token", "orders", "--config", config).stderr
    assert once("--config", config).returncode == 0
    if ends:
        with RunningAgent(config) as agent:
            server.stop()
            agent.wait_for("has expired")
    printed = command("token", "orders", "--config", config)
    assert (printed.returncode, bool(printed.stdout)) == ((255, False) if ends else (0, True))
    assert ("has expired" in printed.stderr) == ends
    unknown = command("token", "other", "--config", config)
    assert (unknown.returncode, "only orders" in unknown.stderr) == (252, True)


def test_an_output_that_cannot_be_written_is_reported(toml: Toml, server: FakeTokendServer, directory: Path) -> None:
    config = toml(document(server, directory))
    with Path("/dev/full").open("w", encoding="ascii") as full:
        done = subprocess.run(
            [COMMAND, "check-config", "--config", str(config)], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (255, b"tokend-agent: cannot write the output: No space left on device\n")


def test_check_config_fails_on_a_closed_output(
    toml: Toml, server: FakeTokendServer, directory: Path, tmp_path: Path
) -> None:
    def run(config: Path, shell: str) -> tuple[int, str]:
        line = ["/bin/sh", "-c", f'"$0" check-config --config "$1" {shell}', str(COMMAND), str(config)]
        done = subprocess.run(line, stderr=subprocess.PIPE, text=True, check=False)
        return done.returncode, done.stderr

    config = toml(document(server, directory))
    assert run(config, ">&-") == (255, "tokend-agent: cannot write the output: standard output is closed\n")
    assert run(tmp_path / "none.toml", "2>&-") == (253, "")
    assert run(tmp_path / "none.toml", "2>/dev/full") == (253, "")


@pytest.mark.parametrize("answer", ["[1]", "5", "null", '{"tokens": null}', '{"tokens": [{}]}', '{"tokens": [1]}'])
def test_another_server_at_the_health_address_is_not_an_agent(
    answer: str, command: Command, toml: Toml, server: FakeTokendServer, directory: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        config = toml(document(server, directory) | {"health": {"listen": address}})

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(f"HTTP/1.0 200 OK\r\n\r\n{answer}".encode())

        thread = threading.Thread(target=serve)
        thread.start()
        asked = command("ready", "--config", config)
        thread.join()
    expected = f"tokend-agent: no agent responds at {address}: the server there is not tokend-agent\n"
    assert (asked.returncode, asked.stderr) == (255, expected)


@pytest.mark.parametrize(
    "setting",
    [{"AWS_ENDPOINT_URL_STS": "nonsense"}, {"AWS_MAX_ATTEMPTS": "x"}, {"AWS_DEFAULT_REGION": ""}],
    ids=str,
)
def test_invalid_settings_of_botocore_are_reported(
    setting: dict[str, str], toml: Toml, server: FakeTokendServer, directory: Path
) -> None:
    config = str(toml(document(server, directory)))
    assert once("--config", config).returncode == 0
    words = [COMMAND, "aws-credentials", "orders", "--role-arn", "arn:aws:iam::123456789012:role/x", "--config", config]
    environment = os.environ | {"AWS_DEFAULT_REGION": "us-east-1"} | setting
    asked = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (asked.returncode, asked.stdout) == (254, "")
    assert asked.stderr.startswith("tokend-agent: no credentials for orders: ")


def test_a_configuration_is_checked(command: Command, toml: Toml, server: FakeTokendServer, directory: Path) -> None:
    good = command("check-config", "--config", toml(document(server, directory)))
    assert (good.returncode, good.stdout) == (0, "The configuration is good. Tokens: orders\n")
    bad = command("check-config", "--config", toml(document(server, directory, mode="0777", expired="burn")))
    assert bad.returncode == 253
    assert bad.stderr.startswith("tokend-agent: the configuration cannot be used:\n  tokens.orders.mode: ")
    assert "tokens.orders.expired: " in bad.stderr
    assert command("check").returncode == 252


def test_check_config_checks_the_files_of_the_connection(
    command: Command, toml: Toml, server: FakeTokendServer, directory: Path
) -> None:
    tables = document(server, directory)
    missing = str(directory / "none.crt")
    tables["tokend"] = {"endpoint": server.endpoint, "ca_file": missing}
    bad = command("check-config", "--config", toml(tables))
    assert bad.returncode == 253
    assert bad.stderr == (
        f"tokend-agent: the configuration cannot be used:\n  tokend.ca_file: {missing}: No such file or directory\n"
    )


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


@pytest.fixture
def mount(tmp_path: Path) -> tuple[list[str], Path]:
    """A command that runs another one with a small file system mounted on a directory, and that directory."""
    directory = tmp_path / "mount"
    directory.mkdir()
    steps = f'mount -t tmpfs -o size=64k,mode=0755 tmpfs "{directory}" && exec "$@"'
    under = ["unshare", "--mount", "--map-root-user", "sh", "-c", steps, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*under, "true"], check=False, capture_output=True).returncode:
        leave_out(
            "this machine does not let processes mount a tmpfs in a namespace, so full and read-only disks are left out"
        )
    return under, directory


def test_a_full_disk_keeps_the_old_token_and_is_reported(
    toml: Toml, server: FakeTokendServer, mount: tuple[list[str], Path]
) -> None:
    under, directory = mount
    with RunningAgent(toml(document(server, directory, token_duration_seconds=SHORT)), under=under) as agent:
        agent.wait_for("ready: ")
        inside = Path(f"/proc/{agent.process.pid}/root{directory}")
        written = (inside / "token").read_bytes()
        _fill(inside / "filling")
        seen = agent.wait_for("No space left on device: free up space")
        assert len((inside / "token").read_bytes()) == len(written)
        assert httpx.get(f"{agent.health}/readyz", trust_env=False).json()["tokens"][0]["problem"]
        agent.wait_for("has expired", after=seen)
        assert b"." in (inside / "token").read_bytes(), "the old token is whole"
        (inside / "filling").unlink()
        seen = agent.wait_for("orders: written", after=seen)
        agent.wait_for("recovered", after=seen)
        assert (inside / "token").read_bytes() != written
        assert agent.end() == 0


def _fill(path: Path) -> None:
    room = os.statvfs(path.parent)
    path.write_bytes(b"x" * (room.f_bavail * room.f_frsize))


def test_a_read_only_mount_is_reported(toml: Toml, server: FakeTokendServer, mount: tuple[list[str], Path]) -> None:
    under, directory = mount
    with RunningAgent(toml(document(server, directory, token_duration_seconds=SHORT)), under=under) as agent:
        agent.wait_for("ready: ")
        seen = 0
        for option, text in (("ro", "the mount is read-only"), ("rw", "recovered")):
            enter = ["nsenter", "--user", "--mount", f"--target={agent.process.pid}", "--preserve-credentials"]
            remount = [*enter, "mount", "-o", f"remount,{option}", str(directory)]
            # An open file makes the mount busy.
            assert any(subprocess.run(remount, check=False).returncode == 0 for _ in range(10))
            seen = agent.wait_for(text, after=seen)
        assert agent.end() == 0
    assert json.dumps(agent.log).count("the mount is read-only") == 1, "it is logged once"


def test_a_file_that_is_a_mount_is_reported(
    toml: Toml, server: FakeTokendServer, mount: tuple[list[str], Path]
) -> None:
    under, directory = mount
    bind = f'touch "{directory}/token" && mount --bind "{directory}/token" "{directory}/token" && exec "$@"'
    with RunningAgent(toml(document(server, directory)), under=[*under, "sh", "-c", bind, "sh"]) as agent:
        agent.wait_for("mount its directory")
        assert agent.end() == 0


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
