import asyncio
from contextlib import suppress


class OneLoop:
    """The event loop of an object: the one in which it is created, or else first used.

    Args:
        what: The name of the object.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._loop: asyncio.AbstractEventLoop | None = None
        with suppress(RuntimeError):
            self._loop = asyncio.get_running_loop()

    def check(self) -> None:
        """Checks that the object is used in its event loop.

        Raises:
            RuntimeError: Another event loop is running.
        """
        running = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = running
        elif running is not self._loop:
            raise RuntimeError(
                f"this {self._what} belongs to another event loop: create it and its client in the loop that uses them"
            )
