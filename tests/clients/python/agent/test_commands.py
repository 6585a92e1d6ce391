"""The commands of tokend-agent besides `run`: their results, output and errors."""

import os
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.clients.python.agent.conftest import Command
from tests.clients.python.agent.running import COMMAND, RunningAgent, once
from tests.clients.python.agent.settings import document

from tokend_client import ErrorReason
from tokend_client.testing import Failure, FakeTokendServer

Toml = Callable[[dict[str, Any]], Path]


@pytest.fixture
def server() -> Iterator[FakeTokendServer]:
    """A server with the machine's clock, like the agent."""
    with FakeTokendServer(algorithm="ES256") as running:
        yield running


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


def test_check_config_accepts_valid_settings_and_reports_invalid_ones(
    command: Command, toml: Toml, server: FakeTokendServer, directory: Path
) -> None:
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
