"""A command that runs while a service runs in this process."""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

#: The signals that are passed on to the command.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

#: `si_code` of a signal from the terminal (sigaction(2), SI_KERNEL), which the command gets directly.
_SI_KERNEL = 0x80

#: The offset of a signal's number in a shell's exit code.
_SIGNAL_EXIT_CODES = 128


#: The launcher of the command, which ends the command if this process is killed and cannot pass on a signal.
_LAUNCHER = (sys.executable, "-I", "-S", str(Path(__file__).with_name("parent_death_signal.py")))


class ChildCommand:
    """Runs a command, and passes on to it the signals of this process.

    If this process ends first, the command gets SIGTERM. It must be created before the first thread; from then on
    signals are kept for `run`.
    """

    def __init__(self) -> None:
        self._signals = (*_SIGNALS, signal.SIGCHLD)
        signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Runs a command to its end; must be called in the main thread, whose end counts as this process's.

        Returns:
            Its exit code; if a signal has ended it, 128 plus the signal's number, as in a shell; 127 if there is no
            such command, and 126 if it cannot be run, as in env(1), with an error on standard error.
        """
        arguments = [*_LAUNCHER, str(os.getpid()), *command]
        return self._wait_for(os.posix_spawn(arguments[0], arguments, environment, setsigmask=()))

    def _wait_for(self, pid: int) -> int:
        while True:
            received = signal.sigwaitinfo(self._signals)
            if received.si_signo != signal.SIGCHLD:
                if received.si_code != _SI_KERNEL:
                    os.kill(pid, received.si_signo)
                continue
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else _SIGNAL_EXIT_CODES - code
