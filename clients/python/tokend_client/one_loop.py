import asyncio
from contextlib import suppress


class OneLoop:
    """The event loop that something belongs to: the one that it is made in, else the first one that it is used in.

    Args:
        what: What belongs to it.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._loop: asyncio.AbstractEventLoop | None = None
        with suppress(RuntimeError):
            self._loop = asyncio.get_running_loop()

    def check(self) -> None:
        """Makes sure that it is used where it belongs.

        Raises:
            RuntimeError: Another event loop runs.
        """
        running = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = running
        elif running is not self._loop:
            raise RuntimeError(
                f"this {self._what} belongs to another event loop: make it, and its client, in the loop that uses them"
            )
