"""A thread that keeps one token's file fresh."""

import logging
import threading
import traceback
from collections.abc import Callable

from tokend_client.agent.configuration import TokenSettings
from tokend_client.agent.keeper import Keeper, Status

#: Seconds after which a token is tried again.
_AFTER_DEFECT = 1.0

_LOG = logging.getLogger("tokend_client.agent")


class Worker:
    """One token's thread.

    Args:
        settings: The token.
        keeper: What keeps its file, in steps.
        on_step: Called after each.
    """

    def __init__(self, settings: TokenSettings, keeper: Keeper, on_step: Callable[[], object]) -> None:
        self.settings = settings
        self._log = logging.LoggerAdapter(_LOG, {"token": settings.name})
        self._keeper = keeper
        self._on_step = on_step
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"token {settings.name}", daemon=True)

    def start(self) -> None:
        """Begins."""
        if self.settings.mode & 0o004:
            text = "%s: every user of this machine may read %s (mode %04o)"
            self._log.warning(text, self.settings.name, self.settings.file, self.settings.mode)
        self._thread.start()

    def stop(self) -> None:
        """Has it end after its step, and leave the file to others."""
        self._stop.set()

    def join(self, timeout: float) -> None:
        """Waits for its end, for so many seconds."""
        self._thread.join(timeout)

    def status(self) -> Status:
        """What there is to tell of the token now."""
        return self._keeper.status()

    def _keep(self) -> None:
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
            # Without the text of the error, which may hold what it stumbled over.
            trace = "".join(traceback.format_tb(error.__traceback__))
            self._log.error("%s: a step has failed: %s\n%s", self.settings.name, type(error).__name__, trace)
            return _AFTER_DEFECT
