"""The processes of the benchmark: each on its core, each with its CPU time. Linux only."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tokend_server.config import Grpc

#: Of every gRPC server, for its calls: tokend's default.
THREADS = Grpc().threads


@dataclass(frozen=True)
class Cores:
    """The cores to run on: the servers on one, the load generator and everything else on another, if there are two."""

    server: int
    load: int

    @classmethod
    def available(cls) -> "Cores":
        cores = sorted(os.sched_getaffinity(0))
        return cls(server=cores[0], load=cores[min(1, len(cores) - 1)])


def cpu_seconds(pid: int) -> float:
    """Returns the user and system time of a process and its threads so far (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def family_cpu_seconds(pid: int) -> float:
    """Returns the same for a process and its children, including ended ones (fields 14 to 17)."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    own = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]
    seconds = sum(map(int, own)) / os.sysconf("SC_CLK_TCK")
    for child in children:
        with suppress(FileNotFoundError):  # it has ended, and is among what its parent has
            seconds += cpu_seconds(int(child))
    return seconds


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Runs this thread on one core in the block; processes started in it stay there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def running(command: Sequence[str], cores: Cores, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a server process on the servers' core, and terminates it at the end; everything else is on the other.

    The server's output goes to the file `log`.
    """
    with log.open("wb") as output, on_core(cores.server):
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=_environment()
        )
    try:
        with on_core(cores.load):
            yield process
    finally:
        stop(process)


def _environment() -> dict[str, str]:
    """Returns this process's environment without settings that would change the measurement."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("TOKEND_", "MOTO_"))}


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, seconds: float = 30) -> None:
    """Waits until a server is ready.

    Raises:
        RuntimeError: It ended, or took too long; with the last lines of its log.
    """
    end = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{log.stem} did not start:\n" + log.read_text(errors="replace")[-2000:])
        time.sleep(0.05)  # another process gives no event to await


def accepts_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
