"""A listener with the pages of tests, and requests to it."""

import threading
from asyncio import Future, get_running_loop
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import httpx
from tests.fakes.clock import FakeClock
from tests.support.grpc_service import TIMEOUT

from tokend_server.web.listener import BoundAddress, HttpListener
from tokend_server.web.message import Page, Request, Response, plain_text
from tokend_server.web.site import Site

#: More than the kernel buffers between a server that writes and a client that does not read.
LARGE = 32 * 1024 * 1024

Start = Callable[..., str]


class Pages:
    """The pages of the tests.

    Attributes:
        asked: The requested paths so far.
        release: Releases the waiting page.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.waiting = threading.Event()
        self._answers: list[Future[Response]] = []
        page, large = plain_text("page\n"), plain_text("x" * LARGE)
        self.by_path: dict[str, Page] = {
            "/page": self._noted(lambda: page),
            "/large": self._noted(lambda: large),
            "/waits": self._noted(self._wait),
            "/fails": self._noted(self._fail),
            "/fails-later": self._noted(self._fail_later),
        }

    def release(self) -> None:
        for answer in self._answers:
            answer.get_loop().call_soon_threadsafe(answer.set_result, plain_text("waited\n"))

    def _noted(self, answer: Callable[[], Response | Future[Response]]) -> Page:
        def page(request: Request) -> Response | Future[Response]:
            self.asked.append(request.path)
            return answer()

        return page

    def _wait(self) -> Future[Response]:
        answer: Future[Response] = get_running_loop().create_future()
        self._answers.append(answer)
        self.waiting.set()
        return answer

    def _fail(self) -> Response:
        raise RuntimeError("canary-4715")

    def _fail_later(self) -> Future[Response]:
        answer: Future[Response] = get_running_loop().create_future()
        answer.set_exception(RuntimeError("canary-4715"))
        return answer


@contextmanager
def serving(pages: dict[str, Page], *, timeout: float = TIMEOUT, max_connections: int = 256) -> Iterator[str]:
    """Starts a listener on a separate port, and returns its HOST:PORT."""
    with closing(BoundAddress("test", "127.0.0.1:0")) as bound:
        listener = HttpListener(
            bound, Site(pages), FakeClock(), timeout=timeout, max_connections=max_connections
        ).start()
        try:
            yield bound.address
        finally:
            listener.stop()


def get(address: str, path: str = "/page", method: str = "GET") -> httpx.Response:
    """Makes a well-behaved client's request, on a separate connection."""
    with httpx.Client(trust_env=False, verify=False, timeout=TIMEOUT) as client:
        return client.request(method, f"http://{address}{path}")
