"""The causes that end a process: a signal, a lost thread, a stop that takes too long."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support.namespaces import first_process

TIMEOUT = 60

_SCRIPT = """
import logging, sys, threading
from tokend_server.cli.stopping import ExitGuard, StopSignal, exit_immediately
from tokend_server.failures import log_uncaught_exceptions

logging.basicConfig()
stop = StopSignal()
guard = ExitGuard(stop)
log_uncaught_exceptions(guard.thread_ended)
{script}
print("ready", flush=True)
threading.Event().wait()
"""


@contextmanager
def running(script: str) -> Iterator[subprocess.Popen[str]]:
    """A process that does not end by itself."""
    command = [sys.executable, "-c", _SCRIPT.format(script=script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as process:
        try:
            yield process
        finally:
            process.kill()


def end_of(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Returns the exit code of a process that ends, and its output."""
    _, text = process.communicate(timeout=TIMEOUT)
    return process.returncode, text


@pytest.mark.parametrize("started", ["", "guard.started()"])
def test_a_process_that_loses_a_thread_ends(started: str) -> None:
    script = f"{started}\nthreading.Thread(target=lambda: {{}}['secret'], name='needed', daemon=True).start()"
    with running(script) as process:
        code, text = end_of(process)
    assert code == 1
    assert "a thread has ended" in text
    assert "the process ends, because it has lost a thread" in text
    assert "secret'" not in text.replace("['secret']", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_process_that_does_not_serve_yet(number: int) -> None:
    with running("") as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        code, text = end_of(process)
    assert code == 1
    assert "stopped before it served" in text


def test_a_stop_that_takes_too_long_ends_the_process() -> None:
    with running("guard.started()\nguard.end_within(0.2)") as process:
        code, text = end_of(process)
    assert code == 1
    assert "did not stop in time" in text


def test_exit_immediately_does_not_wait_for_threads() -> None:
    script = (
        "guard.started()\nthreading.Thread(target=threading.Event().wait).start()\nprint('said')\nexit_immediately(3)"
    )
    with running(script) as process:
        output, _ = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, output) == (3, "said\n")


#: Sends itself SIGTERM while the command is loaded, and again when it has taken the first one.
_FIRST_PROCESS = """
import os, signal, sys

def terminate():
    os.kill(os.getpid(), signal.SIGTERM)

class Loading:
    def find_spec(self, name, *_):
        if name == "tokend_server.cli": terminate()

assert os.getpid() == 1
if sys.argv.pop() == "loading":
    sys.meta_path.insert(0, Loading())
    from tokend_server.__main__ import main
    main()
else:
    from tokend_server.cli.stopping import StopSignal
    stop = StopSignal()
    terminate()
    stop.wait()
    print("the first", flush=True)
    terminate()
print("goes on")
"""


@pytest.mark.parametrize(("when", "expected"), [("loading", ""), ("stopping", "the first\n")])
def test_a_signal_ends_the_first_process_of_a_container_too(when: str, expected: str) -> None:
    ended = subprocess.run(
        [*first_process(), sys.executable, "-c", _FIRST_PROCESS, "check-config", when],
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (128 + signal.SIGTERM, expected)
