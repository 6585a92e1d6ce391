"""`tokend serve`, and `tokend migrate` before it."""

import os
import signal
import socket
from pathlib import Path

import grpc
import pytest
from annotated_types import Le
from tests.support.calls import get_token
from tests.support.files import mode
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, ServerProcess
from tests.support.tokend import failed, run

from tokend_server.config import Grpc


def test_migrate_brings_the_schema_up_to_date_once(config: Path) -> None:
    for expected in ("applied: 0001, 0002, 0003, 0004, 0005\n", "up to date\n"):
        ended = run("migrate", "--config", str(config))
        assert (ended.stdout, ended.stderr, ended.returncode) == (expected, "", 0)


def test_serve_does_not_migrate_if_migrate_on_start_is_off(config: Path) -> None:
    switches = {"TOKEND_STORE_MIGRATE_ON_START": "false", "TOKEND_LOG_LEVEL": "error"}
    error = failed("serve", "--config", str(config), **switches)
    assert (
        error
        == "configuration: store: the schema lacks the migrations 0001, 0002, 0003, 0004, 0005; run `tokend migrate`\n"
    )


def test_serve_rejects_a_file_that_is_not_a_database(config: Path) -> None:
    database = config.parent / "tokend.db"
    database.touch(mode=0o600)
    database.write_bytes(b"This is no database. " * 100)
    error = failed("serve", "--config", str(config), TOKEND_LOG_LEVEL="error")
    assert error.startswith(
        f"The identity store does not answer (SQLITE_NOTADB). {config.parent}/tokend.db is not a SQLite "
    )


def test_grpc_takes_the_largest_numbers_that_its_settings_may_have(config: Path) -> None:
    names = ("max_connections", "max_concurrent_streams", "max_receive_message_bytes", "max_metadata_bytes")
    largest = {
        f"TOKEND_GRPC_{name.upper()}": str(limit.le)
        for name in names
        for limit in Grpc.model_fields[name].metadata
        if isinstance(limit, Le)
    }
    assert len(largest) == len(names)
    with ServerProcess(config, largest) as server, grpc.insecure_channel(server.endpoint) as channel:
        get_token(channel, POOL_ID, {DEVELOPER_PROVIDER: "alice"})


@pytest.mark.parametrize("section", ["grpc", "issuer", "ops"])
def test_serve_reports_which_address_is_taken(section: str, config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        variable = f"TOKEND_{section.upper()}_LISTEN"
        error = failed("serve", "--config", str(config), TOKEND_LOG_LEVEL="error", **{variable: address})
    # gRPC's own library may have written lines before.
    (line,) = [line for line in error.splitlines() if not line.startswith("E")]
    assert line.startswith(f"configuration: {section}.listen: cannot listen on {address}")


@pytest.mark.parametrize(
    ("number", "delay", "announced"), [(signal.SIGTERM, "0.25", 0.25), (signal.SIGINT, "600", 0.0)]
)
def test_a_signal_stops_serve_gracefully(number: int, delay: str, announced: float, config: Path) -> None:
    with ServerProcess(config, {"TOKEND_GRPC_DRAIN_DELAY_SECONDS": delay}) as server:
        os.kill(server.pid, number)
        assert server.wait() == 0
    assert server.log[-1] | {"time": ""} == {
        "time": "",
        "level": "INFO",
        "logger": "tokend_server.cli.serve",
        "message": "draining",
        "delay_seconds": announced,
    }
    assert all(line.startswith("{") for line in server.output)


def test_the_files_of_serve_are_private_to_their_owner(served_config: Path, channel: grpc.Channel) -> None:
    get_token(channel, POOL_ID, {DEVELOPER_PROVIDER: "cli-alice"})
    files = list(served_config.parent.glob("tokend.db*"))
    assert len(files) == 3  # the database, its log, and the log's index
    assert {mode(file) for file in files} == {0o600}
