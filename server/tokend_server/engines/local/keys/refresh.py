"""Follows the keys of the store, whether or not anyone asks for readiness."""

from typing import TYPE_CHECKING

from tokend_server.engines.local.keys.signer import TokenSigner
from tokend_server.process.repeating import Repeating

if TYPE_CHECKING:
    from types import TracebackType


class KeyRefresh:
    """A thread that reads the signing keys again and again, so that keys of other processes are published here.

    Keys that cannot be read leave those in use that were read before.

    Args:
        signer: What signs with the keys.
        interval: Seconds between two readings.
    """

    def __init__(self, signer: TokenSigner, interval: float) -> None:
        self._signer = signer
        self._failure: tuple[Exception, TracebackType | None] | None = None
        self._readings = Repeating(self.refresh, interval, "signing keys")

    def start(self) -> None:
        """Begins; the first reading is due after an interval."""
        self._readings.start()

    def stop(self) -> None:
        """Ends the thread, after the reading that it is in."""
        self._readings.stop()

    def refresh(self) -> None:
        """Reads the keys once; what goes wrong is for `check` to tell."""
        try:
            self._signer.refresh()
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread must go on reading
            self._failure = error, error.__traceback__
        else:
            self._failure = None

    def check(self) -> None:
        """Makes sure that the last reading went well.

        Raises:
            EngineUnavailable: The store did not answer.
        """
        if failure := self._failure:
            error, traceback = failure
            raise error.with_traceback(traceback)  # each raise would lengthen it
