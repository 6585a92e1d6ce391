"""A server with a lost or blocked thread, in a separate process."""

import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from tests.support.calls import Caller
from tests.support.health import NOT_SERVING, SERVING, check_health, wait_for, watch_health
from tests.support.server_process import ServerProcess, write_config

TIMEOUT = 60

#: The names of threads, of each kind that does something while a server serves.
KINDS = [
    r".*\(_serve\)",
    r"grpc-\d+",
    r"grpc-watch-\d+",
    r"grpc-connections",
    r"grpc-messages",
    r"checkpoints",
    r"signing keys",
    r"probe .*",
    r"readiness",
    r"http .*",
    r"audit",
    r"log",
]


def breakable(directory: Path, ops: str = "") -> ServerProcess:
    config = write_config(
        directory, f'[audit]\ndestination = "file:{directory}/audit.log"\n', "threads = 2\ndrain_grace_seconds = 0\n"
    )
    config.write_text(config.read_text().replace("[ops]\n", f"[ops]\n{ops}"))
    return ServerProcess(config, {"BREAK": str(directory / "order")}, module="tests.support.breakable_server")


def order(directory: Path, text: str) -> None:
    (directory / "new").write_text(text, encoding="utf-8")
    (directory / "new").rename(directory / "order")


def status(server: ServerProcess, page: str) -> int:
    try:
        with urllib.request.urlopen(f"{server.ops}/{page}", timeout=TIMEOUT) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def use(server: ServerProcess, caller: Caller) -> None:
    """Makes the threads work: a waiting thread ends only when it wakes."""
    with suppress(OSError):
        status(server, "readyz")
    with suppress(OSError), urllib.request.urlopen(f"{server.issuer}/.well-known/jwks.json", timeout=TIMEOUT):
        pass
    for _ in range(4):
        with suppress(grpc.RpcError):
            caller.get_token("alice", timeout=0.5)
    watch: grpc.UnaryStreamMultiCallable[bytes, bytes] = caller.channel.unary_stream("/grpc.health.v1.Health/Watch")
    with suppress(grpc.RpcError):
        next(iter(watch(b"", timeout=0.5)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_loses_a_thread_ends(tmp_path: Path, kind: str) -> None:
    with breakable(tmp_path) as server:
        caller = Caller(server)
        use(server, caller)
        order(tmp_path, f"end {kind}")
        while server.exit_code is None:
            use(server, caller)
        assert server.wait() == 1
        caller.close()
    output = "".join(server.output)
    assert "a thread has ended" in output
    assert "the process ends, because it has lost a thread" in output


def test_a_blocked_serving_thread_fails_all_health_checks(tmp_path: Path) -> None:
    with breakable(tmp_path, "unready_after_seconds = 5\ndead_after_seconds = 10\n") as server:
        caller = Caller(server)
        assert (status(server, "livez"), status(server, "readyz"), check_health(caller.channel)) == (200, 200, SERVING)
        watch = watch_health(caller.channel)
        wait_for(watch, SERVING)
        check_health(caller.channel)  # then the serving thread has seen that the status of the watch is sent
        order(tmp_path, "hold")
        wait_for(watch, NOT_SERVING)
        assert status(server, "readyz") == 503
        while status(server, "livez") != 503:
            time.sleep(0.1)  # no event tells of it
        assert status(server, "readyz") == 503
        server.terminate()
        assert server.wait() == 1
        caller.close()
    assert "did not stop in time" in "".join(server.output)
