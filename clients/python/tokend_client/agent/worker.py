"""A thread that keeps one token's file fresh."""

import logging
import threading
import traceback
from collections.abc import Callable

from tokend_client.agent.configuration import TokenSettings
from tokend_client.agent.keeper import Keeper, Status

#: Seconds until the next step after a failed one.
_PAUSE_AFTER_DEFECT = 1.0

_LOG = logging.getLogger("tokend_client.agent")


class Worker:
    """One token's thread.

    Args:
        settings: The token.
        keeper: Keeps its file fresh, step by step.
        on_step: Called after each step.
    """

    def __init__(self, settings: TokenSettings, keeper: Keeper, on_step: Callable[[], object]) -> None:
        self.settings = settings
        self._log = logging.LoggerAdapter(_LOG, {"token": settings.name})
        self._keeper = keeper
        self._on_step = on_step
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"token {settings.name}", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        if self.settings.mode & 0o004:
            text = "%s: every user of this machine may read %s (mode %04o)"
            self._log.warning(text, self.settings.name, self.settings.file, self.settings.mode)
        self._thread.start()

    def stop(self) -> None:
        """Asks the thread to end after its step, and to release the file."""
        self._stop.set()

    def join(self, timeout: float) -> None:
        """Waits for the thread's end, at most this many seconds."""
        self._thread.join(timeout)

    def status(self) -> Status:
        """The current status of the token."""
        return self._keeper.status()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                pause = self._step()
                self._on_step()
                self._stop.wait(pause)
        finally:
            self._keeper.close()

    def _step(self) -> float:
        try:
            return self._keeper.step()
        except Exception as error:  # noqa: BLE001 - a defect costs this token a step, and others nothing
            # Without the text of the error, which may contain a login or a token.
            trace = "".join(traceback.format_tb(error.__traceback__))
            self._log.error("%s: a step failed: %s\n%s", self.settings.name, type(error).__name__, trace)
            return _PAUSE_AFTER_DEFECT
