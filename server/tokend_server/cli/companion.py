"""A command that runs beside a service of this process."""

import os
import signal
from collections.abc import Mapping, Sequence

import click

#: What is passed on to the command.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

#: What Python ignores for itself, and programs expect not to be ignored.
_OF_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)

#: `si_code` of a signal of the terminal's (sigaction(2), SI_KERNEL), which the command gets without this process.
_OF_THE_TERMINAL = 0x80

#: What a shell adds to the number of a signal.
_SIGNALLED = 128


class CannotRun(click.ClickException):
    """A command that cannot be run; the exit codes are those of env(1)."""

    exit_code = 126


class NotFound(CannotRun):
    """A command that there is not."""

    exit_code = 127


class Companion:
    """Runs one command, and passes on to it the signals that this process gets.

    From its construction on, which must come before the first thread, the signals are kept for `run`.
    """

    def __init__(self) -> None:
        self._signals = (*_SIGNALS, signal.SIGCHLD)
        signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Runs a command to its end.

        Returns:
            Its exit code; for one that a signal has ended, 128 and the signal's number, as of a shell.

        Raises:
            CannotRun: It cannot be run.
        """
        try:
            pid = os.posix_spawnp(command[0], [*command], environment, setsigmask=(), setsigdef=_OF_PYTHON)
        except OSError as error:
            kind = NotFound if isinstance(error, FileNotFoundError) else CannotRun
            raise kind(f"{command[0]}: {error.strerror}") from None
        return self._end_of(pid)

    def _end_of(self, pid: int) -> int:
        while True:
            received = signal.sigwaitinfo(self._signals)
            if received.si_signo != signal.SIGCHLD:
                if received.si_code != _OF_THE_TERMINAL:
                    os.kill(pid, received.si_signo)
                continue
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else _SIGNALLED - code
