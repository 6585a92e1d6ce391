"""Expensive responses that are shared between concurrent requests."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from tokend_server.web.message import Request, Response

#: The pause after a response, as a multiple of its CPU time: a flood of requests can take at most a tenth of the
#: interpreter from the calls.
_REST = 9


class SharedResponse:
    """A page whose response is created in a thread, one at a time, for all requests that arrived before.

    No response is older than its request: a request during the creation of a response gets the next one.

    Args:
        make: Creates a response; it may block.
        sleep: Waits for a number of seconds.
    """

    def __init__(self, make: Callable[[], Response], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._make = make
        self._sleep = sleep
        self._asked: asyncio.Future[Response] | None = None
        self._making: asyncio.Task[None] | None = None

    def __call__(self, _request: Request) -> asyncio.Future[Response]:
        """Returns a future of the response."""
        if self._asked is None:
            self._asked = asyncio.get_running_loop().create_future()
        if self._making is None:
            self._making = asyncio.create_task(self._make_all())
        return self._asked

    async def _make_all(self) -> None:
        while (asked := self._asked) is not None:
            self._asked = None
            cpu_seconds = await asyncio.to_thread(self._complete, asked)
            await self._sleep(cpu_seconds * _REST)
        self._making = None

    def _complete(self, asked: asyncio.Future[Response]) -> float:
        """Creates a response and sets it as the result of the future; returns its CPU time in seconds."""
        call_soon = asked.get_loop().call_soon_threadsafe
        begin = time.thread_time()
        try:
            call_soon(asked.set_result, self._make())
        except Exception as error:  # noqa: BLE001 - those who asked get it
            call_soon(asked.set_exception, error)
        return time.thread_time() - begin
