"""A thread limit is exceeded at startup or never."""

import os
import shutil
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from tests.support.calls import Caller
from tests.support.grpc_service import TIMEOUT
from tests.support.health import SERVING, check_health, wait_for, watch_health
from tests.support.other_users import as_user
from tests.support.server_process import ServerProcess, write_config
from tests.support.silent_calls import SilentCalls

if TYPE_CHECKING:
    import grpc

REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can run a process as a user of its own"
)


@contextmanager
def limited_server(threads: int, grpc: str = "") -> Iterator[ServerProcess]:
    """A server with a thread limit, in a directory that its user can access."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o777)
        with ServerProcess(write_config(directory, grpc=grpc), under=limited(threads)) as server:
            yield server


def limited(threads: int) -> Sequence[str]:
    """Returns the prefix that runs a command as a user without other processes, with a thread limit."""
    capability = "-all,+dac_override"  # the interpreter may be in a home directory
    return (
        *as_user(200_000 + os.getpid()),
        *(f"--inh-caps={capability}", f"--ambient-caps={capability}"),
        *("prlimit", f"--nproc={threads}"),
    )


def threads_of(server: ServerProcess) -> int:
    return len(list(Path(f"/proc/{server.pid}/task").iterdir()))


def use(server: ServerProcess) -> None:
    """Makes every kind of call that could start a thread."""
    caller = Caller(server)
    watches = [watch_health(caller.channel) for _ in range(20)]
    for watch in watches:
        wait_for(watch, SERVING)
    inquire: grpc.StreamStreamMultiCallable[bytes, bytes] = caller.channel.stream_stream(REFLECTION, None, None)
    for _ in range(20):
        assert len(list(inquire(iter([b"\x3a\x00"]), timeout=TIMEOUT))) == 1
    with SilentCalls(server.endpoint, "LookupDeveloperIdentity") as silent:
        silent.begin(60)
        for number in range(40):
            caller.get_token(f"user-{number}", timeout=TIMEOUT)
        assert check_health(caller.channel) == SERVING
    for page in ("livez", "readyz", "metrics"):
        with urllib.request.urlopen(f"{server.ops}/{page}", timeout=TIMEOUT) as answer:
            assert answer.status == 200
    for watch in watches:
        watch.cancel()
    caller.close()


def test_a_server_at_its_thread_limit_keeps_serving() -> None:
    few = "threads = 2\n"
    with limited_server(1000, few) as unlimited:
        needed = threads_of(unlimited)
    with limited_server(needed + 1, few) as server:
        use(server)
        assert server.stop() == 0


@pytest.mark.parametrize("few", [12, 40, 60])
def test_a_server_that_cannot_start_its_threads_reports_it(few: int) -> None:
    with pytest.raises(RuntimeError, match="did not start") as failed, limited_server(few):
        pass
    text = str(failed.value)
    assert "configuration: grpc.threads: the operating system does not let the process start all of its threads" in text
    assert "Traceback" not in text


def test_a_memory_limit_too_small_for_thread_stacks_is_reported(tmp_path: Path) -> None:
    little = ("prlimit", f"--as={800 * 2**20}")
    with pytest.raises(RuntimeError, match="did not start") as failed:
        ServerProcess(write_config(tmp_path), under=little)
    text = str(failed.value)
    assert "configuration: grpc.threads: the operating system does not let the process start all of its threads" in text
    assert "ulimit -v" in text
    assert "Traceback" not in text
