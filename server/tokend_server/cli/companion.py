"""A command that runs beside a service of this process."""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

#: What is passed on to the command.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

#: `si_code` of a signal of the terminal's (sigaction(2), SI_KERNEL), which the command gets without this process.
_OF_THE_TERMINAL = 0x80

#: What a shell adds to the number of a signal.
_SIGNALLED = 128


#: What the command is run by, so that it does not outlive a process that is killed, which passes no signal on.
_LAUNCHER = (sys.executable, "-I", "-S", str(Path(__file__).with_name("ending_with_parent.py")))


class Companion:
    """Runs one command, and passes on to it the signals that this process gets.

    Where this process ends first, the command gets SIGTERM. From its construction on, which must come before the first
    thread, the signals are kept for `run`.
    """

    def __init__(self) -> None:
        self._signals = (*_SIGNALS, signal.SIGCHLD)
        signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Runs a command to its end; it must be called on the main thread, whose end counts as this process's.

        Returns:
            Its exit code; for one that a signal has ended, 128 and the signal's number, as of a shell; 127 where there
            is no such command, and 126 where it cannot be run, as of env(1), which standard error has then.
        """
        words = [*_LAUNCHER, str(os.getpid()), *command]
        return self._end_of(os.posix_spawn(words[0], words, environment, setsigmask=()))

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
