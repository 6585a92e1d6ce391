"""A server that is forked from a preloaded process behaves like one that is started."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.server_process import ServerProcess, write_config
from tests.support.tokend import run


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[ServerProcess]]:
    """One of each, with separate directories and variables."""
    with ExitStack() as running:
        yield [
            running.enter_context(
                ServerProcess(
                    Path("tokend.toml"),
                    {"TOKEND_LOG_LEVEL": "debug", "PYTHONPATH": str(Path(__file__).parents[2])},
                    directory,
                    module="tests.support.observable_server",
                    afresh=afresh,
                )
            )
            for afresh in (False, True)
            for directory in [write_config(tmp_path_factory.mktemp("server")).parent]
        ]


def of_the_process(server: ServerProcess) -> dict[str, object]:
    """Returns the operating system's data about a process."""
    proc = Path(f"/proc/{server.pid}")
    status = (line.partition(":") for line in (proc / "status").read_text(encoding="ascii").splitlines())
    return {
        "signals": {name: text for name, _, text in status if name in {"SigIgn", "SigCgt"}},
        "limits": (proc / "limits").read_text(encoding="ascii"),
        "streams": [(proc / "fd" / str(number)).readlink().name.partition(":")[0] for number in range(3)],
    }


def start_of_the_log(server: ServerProcess) -> list[tuple[str, str]]:
    records = [(record["level"], record["message"]) for record in server.log]
    return sorted(records[: records.index(("INFO", "serving"))])


def test_a_forked_server_has_the_same_signals_limits_and_streams(servers: Sequence[ServerProcess]) -> None:
    forked, started = map(of_the_process, servers)
    assert forked == started


def test_a_forked_server_has_the_same_log_and_exit_code(servers: Sequence[ServerProcess]) -> None:
    forked, started = map(start_of_the_log, servers)
    assert forked == started
    assert "DEBUG" in {level for level, _ in forked}
    assert [server.exit_code for server in servers] == [None, None]
    assert [server.stop() for server in servers] == [0, 0]


def test_a_signal_is_its_exit_code(tmp_path: Path) -> None:
    server = ServerProcess(write_config(tmp_path))
    server.kill()
    assert server.exit_code == -signal.SIGKILL


def test_the_exit_code_of_wrong_usage_is_passed_on() -> None:
    assert run("quickstart", "--none").returncode == 2


def test_a_failed_start_raises_its_error_output(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"\['configuration: grpc.threads: Input should be greater than [^']*\\n'\]"):
        ServerProcess(write_config(tmp_path, grpc="threads = 0"))
