"""Answers that take a while to make, made for many at once."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from tokend_server.web.message import Request, Response

#: How long to rest after an answer, as a multiple of the CPU time that it took: a tenth of the interpreter is the most
#: that a flood of requests can take from the calls.
_REST = 9


class SharedAnswer:
    """A page whose answer is made in a thread, one at a time, for all who ask before it begins to be made.

    No answer is older than the question: whoever comes while one is made gets the next.

    Args:
        make: Makes an answer; it may block.
        sleep: Waits for so many seconds.
    """

    def __init__(self, make: Callable[[], Response], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._make = make
        self._sleep = sleep
        self._asked: asyncio.Future[Response] | None = None
        self._making: asyncio.Task[None] | None = None

    def __call__(self, _request: Request) -> asyncio.Future[Response]:
        """The answer, when it is made."""
        if self._asked is None:
            self._asked = asyncio.get_running_loop().create_future()
        if self._making is None:
            self._making = asyncio.create_task(self._make_all())
        return self._asked

    async def _make_all(self) -> None:
        while (asked := self._asked) is not None:
            self._asked = None
            cpu_seconds = await asyncio.to_thread(self._tell, asked)
            await self._sleep(cpu_seconds * _REST)
        self._making = None

    def _tell(self, asked: asyncio.Future[Response]) -> float:
        """Makes the answer and gives it to those who asked; returns the seconds of CPU time that it took."""
        tell = asked.get_loop().call_soon_threadsafe
        begin = time.thread_time()
        try:
            tell(asked.set_result, self._make())
        except Exception as error:  # noqa: BLE001 - those who asked get it
            tell(asked.set_exception, error)
        return time.thread_time() - begin
