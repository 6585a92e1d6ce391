"""An installed tokend-agent in a separate process."""

import os
import signal
import subprocess
import sysconfig
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

COMMAND = str(Path(sysconfig.get_path("scripts")) / "tokend-agent")

#: Seconds after which a test fails, also on a busy machine.
TIMEOUT = 240


class RunningAgent:
    """An agent that runs when `__init__` returns, and is stopped at the end of the `with` block.

    Args:
        config: Its configuration.
        under: A command that runs it.
        environment: Variables in addition to those of this process.
        program: The program to run instead of the installed one.

    Attributes:
        log: The lines of its log so far.
    """

    def __init__(
        self,
        config: Path,
        *,
        under: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = (COMMAND,),
    ) -> None:
        self.log: list[str] = []
        self._changed = threading.Condition()
        self._has_ended = False
        self.process = subprocess.Popen(
            [*under, *program, "run", "--debug", "--config", str(config)],
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
            env={**os.environ, **(environment or {})},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()

    def wait_for(self, text: str, *, after: int = 0) -> int:
        """Waits for a line with a text, after the first `after` lines; returns the number of lines up to it."""

        def found() -> int:
            return next((at for at, line in enumerate(self.log[after:], after + 1) if text in line), 0)

        with self._changed:
            self._changed.wait_for(lambda: found() or self._has_ended, TIMEOUT)
            assert found(), f"no {text!r} in {self.log}"
            return found()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal, and returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT)

    @property
    def health(self) -> str:
        """The URL of its health."""
        self.wait_for("health at ")
        return next(f"http://{line.split('health at ')[1]}" for line in self.log if "health at " in line)

    def _read(self) -> None:
        assert self.process.stderr
        with self.process.stderr as lines:
            for line in lines:
                with self._changed:
                    self.log.append(line.rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()


def once(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs `tokend-agent run --once` to its end."""
    return subprocess.run(
        [COMMAND, "run", "--once", *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=TIMEOUT,
        env={**os.environ, **(environment or {})},
    )
