"""Protection of a command's memory from other processes of the same user, and from core dumps."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.server_process import ServerProcess, write_config
from tests.support.tokend import start

#: Prints which of the process's files in /proc it may read, and whether it may attach to it like a debugger.
_CHECK = """
import ctypes, os, sys
pid = int(sys.argv[1])
for name in ("environ", "mem", "maps", "fd"):
    try:
        os.readlink(f"/proc/{pid}/fd/0") if name == "fd" else open(f"/proc/{pid}/{name}", "rb").close()
    except PermissionError:
        continue
    print(name)
if not ctypes.CDLL(None).ptrace(0x4206, pid, 0, 0):  # PTRACE_SEIZE, which does not stop it
    print("ptrace")
"""

_SHOWN = ["environ", "mem", "maps", "fd", "ptrace"]

_SLEEP = "import sys; print(flush=True); sys.stdin.read()"

_WITH_CORES = """
import os, resource, sys
_, hard = resource.getrlimit(resource.RLIMIT_CORE)
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
os.execv(sys.argv[1], sys.argv[1:])
"""


def without_privileges() -> list[str]:
    """Returns the prefix that runs a command with the rights of its user only."""
    if os.geteuid():
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("as root, who may read everything, this needs setpriv (util-linux)")
    return [setpriv, "--bounding-set=-all", "--inh-caps=-all"]


def seen_by_others(pid: int) -> list[str]:
    command = [*without_privileges(), sys.executable, "-c", _CHECK, str(pid)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def test_the_check_detects_accessible_memory() -> None:
    command = [*without_privileges(), sys.executable, "-c", _SLEEP]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        shown = seen_by_others(process.pid)
    # A system may forbid processes to attach (Yama's ptrace_scope), and then also to open the memory.
    assert shown in (_SHOWN, ["environ", "mem", "maps", "fd"], ["environ", "maps", "fd"])


def test_no_other_process_of_its_user_reads_the_memory_of_a_server(tmp_path: Path) -> None:
    with ServerProcess(write_config(tmp_path), under=without_privileges()) as server:
        assert seen_by_others(server.pid) == []


@pytest.mark.parametrize(
    "words",
    [
        ("keys", "list", "--config", "CONFIG"),
        ("store", "copy", "CONFIG", "sqlite:////nowhere/tokend.db"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_no_other_process_of_its_user_reads_the_memory_of_a_command(tmp_path: Path, words: tuple[str, ...]) -> None:
    config = tmp_path / "config"
    os.mkfifo(config)
    given = [str(config) if word == "CONFIG" else word for word in words]
    process = start(*given, under=without_privileges())
    try:
        # The open blocks until the command opens it and waits for its content.
        with config.open("w", encoding="utf-8"):
            assert seen_by_others(process.pid) == []
    finally:
        process.kill()
        process.communicate()


def test_no_other_process_of_its_user_reads_the_memory_of_a_quickstart(tmp_path: Path) -> None:
    process = start("quickstart", TOKEND_DATA_DIR=str(tmp_path), under=without_privileges())
    assert process.stdout
    try:
        assert any("Stop with Ctrl-C" in line for line in process.stdout)
        assert seen_by_others(process.pid) == []
    finally:
        process.kill()
        process.communicate()


def test_a_crashed_server_leaves_no_core_dump(tmp_path: Path) -> None:
    with_cores = [sys.executable, "-c", _WITH_CORES]
    dies = subprocess.Popen([*with_cores, sys.executable, "-c", "import os; os.abort()"], cwd=tmp_path)
    if how_it_ended(dies.pid) != os.CLD_DUMPED:
        pytest.skip("this machine writes no cores at all (ulimit -Hc)")
    dies.wait()
    for number in (signal.SIGSEGV, signal.SIGABRT):
        directory = tmp_path / number.name
        directory.mkdir()
        server = ServerProcess(write_config(directory), under=with_cores, directory=directory)
        os.kill(server.pid, number)
        assert how_it_ended(server.pid) == os.CLD_KILLED
        assert server.wait() == -number
        assert list(directory.glob("*core*")) == []


def how_it_ended(pid: int) -> int:
    """Returns how a child process has ended, which is not reaped yet."""
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert ended
    return ended.si_code
