"""A process that has loaded tokend and forks others, which saves the CPU time of loading.

A forked process has the arguments, the environment, the directory, the cores, the standard streams and the exit
behavior of `python -m MODULE`. It shares its hash seed with the others, and modules that read the environment on import
have read that of the preloaded process.
"""

import atexit
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

#: All modules that a server may need, also those that only some servers load.
_LOADED = (
    "tokend_server.cli.quickstart",
    "tokend_server.cli.serve",
    "tokend_server.aws_json.build",
    "tokend_server.engines.cognito.build",
    "tokend_server.engines.local.build",
    "tokend_server.engines.local.stores.dynamodb.store",
    "tokend_server.engines.local.stores.postgresql.store",
    "tokend_server.engines.local.stores.sql.migrations.upgrade",
    "tokend_server.engines.local.stores.sqlite.store",
    "tokend_server.mesh.build",
    "tokend_server.mesh.sds_build",
    "tokend_server.process.private_memory",
)

_MOST_BYTES = 1 << 20


class ForkedProcess:
    """A process of `fork`, with the used parts of `subprocess.Popen`."""

    def __init__(self, status: int) -> None:
        self._status = os.fdopen(status, encoding="ascii")
        self._code: int | None = None
        self.pid = int(self._status.readline())
        self._end = threading.Thread(target=self._wait, daemon=True)
        self._end.start()

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        return self._code

    def wait(self, timeout: float) -> int:
        """Waits until it ends."""
        self._end.join(timeout)
        if self._code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return self._code

    def send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _wait(self) -> None:
        with self._status:
            self._code = int(self._status.readline())


def fork(  # noqa: PLR0913, PLR0917 - what a process has
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    directory: Path,
    stderr: int = 2,
    stdout: int = 1,
    stdin: int = 0,
) -> ForkedProcess:
    """Starts a process.

    Args:
        module: Its main module.
        arguments: Its command-line arguments.
        environment: All its environment variables.
        directory: Its working directory.
        stderr: The descriptor of its standard error.
        stdout: The descriptor of its standard output.
        stdin: The descriptor of its standard input.
    """
    process = {
        "module": module,
        "arguments": arguments,
        "environment": dict(environment),
        "directory": str(directory),
        "cores": [*os.sched_getaffinity(0)],
    }
    status, its_status = os.pipe()
    try:
        socket.send_fds(_forking(), [json.dumps(process).encode()], [stdin, stdout, stderr, its_status])
    finally:
        os.close(its_status)
    return ForkedProcess(status)


@cache
def _forking() -> socket.socket:
    """Returns the socket for requests. The process behind it ends with this one."""
    requests, taken = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with taken:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(taken.fileno())],
            stdin=subprocess.DEVNULL,
            env=os.environ | {"GRPC_VERBOSITY": "NONE"},  # as tokend does before it loads gRPC
            cwd=Path(__file__).parents[2],
            pass_fds=[taken.fileno()],
        )

    def end() -> None:
        requests.close()
        process.wait()

    atexit.register(end)
    return requests


def _serve(requests: socket.socket) -> None:
    """Forks a process for each request, and another one that waits for its end."""
    signal.signal(signal.SIGCHLD, _reap)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the tests and for servers
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, _MOST_BYTES, 4)
        if not request:
            return
        if os.fork() == 0:
            requests.close()
            _start(json.loads(request), *descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)


def _reap(*_: object) -> None:
    """Reaps the waiting processes that have ended, so that their CPU time counts as the tests'."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _start(process: Mapping[str, Any], stdin: int, stdout: int, stderr: int, status: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(status)
        for number, descriptor in enumerate((stdin, stdout, stderr)):
            os.dup2(descriptor, number)
            os.close(descriptor)
        # The inherited stream objects have cached properties of the original file, such as whether it is seekable.
        sys.stdin = open(0, encoding=sys.stdin.encoding, closefd=False)  # noqa: SIM115 - a descriptor
        sys.stdout = open(1, "w", encoding=sys.stdout.encoding, closefd=False)  # noqa: SIM115 - a descriptor
        _become(**process)
    else:
        for descriptor in (stdin, stdout, stderr):
            os.close(descriptor)
        os.write(status, b"%d\n" % pid)
        _, ended = os.waitpid(pid, 0)
        os.write(status, b"%d\n" % os.waitstatus_to_exitcode(ended))
        os._exit(0)


def _become(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], directory: str, cores: Sequence[int]
) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.sched_setaffinity(0, cores)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    code = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            raise
        code = int(ended.code or 0)
    # As at the end of an interpreter, but without freeing all loaded modules, which takes 60 ms.
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - as `multiprocessing` does
    atexit._run_exitfuncs()  # noqa: SLF001 - as above
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _load() -> None:
    gc.disable()  # there is hardly any garbage
    for module in _LOADED:
        import_module(module)
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a process with threads cannot fork"
    gc.freeze()  # otherwise a garbage collection would write to all shared pages
    gc.enable()


if __name__ == "__main__":
    _load()
    _serve(socket.socket(fileno=int(sys.argv[1])))
