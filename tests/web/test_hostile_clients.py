"""Misbehaving clients of a read-only listener do not affect other clients."""

import errno
import logging
import resource
import threading
from asyncio import Future, get_running_loop, selector_events
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http import HTTPStatus

import httpx
import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector
from tests.fakes.clock import FakeClock
from tests.support.grpc_service import TIMEOUT
from tests.web.raw_client import GET_PAGE, connected, is_gone, is_reset, read_answer, read_to_end

from tokend_server.web.listener import BoundAddress, HttpListener
from tokend_server.web.message import Page, Request, Response, plain_text
from tokend_server.web.probes import ops_pages
from tokend_server.web.request_parser import MAX_HEAD_BYTES
from tokend_server.web.site import Site

#: The short timeouts of a listener, for tests that wait for them.
SHORT = 0.3

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


@pytest.fixture
def pages() -> Pages:
    return Pages()


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


@pytest.fixture
def start(pages: Pages) -> Iterator[Start]:
    """Starts listeners with the pages of the tests."""
    with ExitStack() as running:
        yield lambda **settings: running.enter_context(serving(pages.by_path, **settings))


def get(address: str, path: str = "/page", method: str = "GET") -> httpx.Response:
    """Makes a well-behaved client's request, on a separate connection."""
    with httpx.Client(trust_env=False, verify=False, timeout=TIMEOUT) as client:
        return client.request(method, f"http://{address}{path}")


# Time.


@pytest.mark.parametrize(
    "sent",
    [b"", GET_PAGE[:20], GET_PAGE[:-2], GET_PAGE + GET_PAGE[:20]],
    ids=["nothing", "half a head", "all but the end of a head", "half a second request"],
)
def test_a_client_that_does_not_finish_its_request_is_dropped(sent: bytes, start: Start) -> None:
    with connected(start(timeout=SHORT)) as client:
        client.sendall(sent)
        assert is_gone(client)


def test_sending_a_byte_at_a_time_buys_no_time(start: Start) -> None:
    with connected(start(timeout=SHORT)) as client:
        client.sendall(GET_PAGE[:-2])
        header = b"x-slow: " + b"a" * 1000
        sent = 0
        while sent < len(header) and not is_gone(client, SHORT / 20):
            client.sendall(header[sent : sent + 1])
            sent += 1
        assert sent < len(header)


def test_a_connection_that_is_not_used_again_is_dropped(start: Start) -> None:
    with connected(start(timeout=SHORT)) as client:
        client.sendall(GET_PAGE)
        assert read_answer(client).endswith(b"page\n")
        assert is_gone(client)


def test_each_response_restarts_the_timer(start: Start) -> None:
    timeout = 1.5
    with connected(start(timeout=timeout)) as client:
        for _ in range(4):
            client.sendall(GET_PAGE)
            assert read_answer(client).endswith(b"page\n")
            assert not is_gone(client, timeout / 3)


def test_a_client_has_its_time_for_itself_and_not_for_the_answer(start: Start, pages: Pages) -> None:
    address = start(timeout=SHORT)
    with connected(address) as client:
        client.sendall(GET_PAGE.replace(b"/page", b"/waits"))
        assert pages.waiting.wait(TIMEOUT)
        with connected(address) as later:
            assert is_gone(later)
        pages.release()
        assert read_answer(client).endswith(b"waited\n")
        assert is_gone(client)


def test_a_client_that_does_not_read_its_answer_is_dropped(start: Start) -> None:
    with connected(start(timeout=SHORT), receive_buffer=4096) as client:
        client.sendall(GET_PAGE.replace(b"/page", b"/large"))
        assert is_gone(client)
        with pytest.raises(ConnectionError):  # reset: neither this process nor its kernel buffers the response
            read_to_end(client)


def test_a_body_that_comes_slowly_is_not_waited_for(start: Start) -> None:
    with connected(start(timeout=SHORT)) as client:
        client.sendall(b"POST /page HTTP/1.1\r\nhost: test\r\ncontent-length: 1000000\r\n\r\n")
        assert read_to_end(client).startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
        sent = 0
        with suppress(ConnectionError):
            while sent < 1000 and not is_reset(client, SHORT / 20):
                client.sendall(b"x")
                sent += 1
        assert sent < 1000


# Room.


def test_a_flood_of_connections_is_bounded_and_blocks_no_client(start: Start) -> None:
    flood, most = 700, 150
    _need_descriptors(2 * flood)
    address = start(max_connections=most)
    with ExitStack() as attackers:
        clients = []
        for number in range(flood):
            client = attackers.enter_context(connected(address))
            client.sendall(GET_PAGE[: 10 * (number % 3)])
            clients.append(client)
        assert get(address).text == "page\n"
        assert all(is_gone(client) for client in clients[: flood - most])
        assert sum(not is_gone(client, 0) for client in clients) <= most


def test_the_most_recently_served_connection_is_dropped_last(start: Start) -> None:
    address = start(max_connections=2)
    with connected(address) as honest, connected(address) as idle:
        for client in (honest, idle, honest):
            client.sendall(GET_PAGE)
            read_answer(client)
        with connected(address) as newcomer:
            assert is_gone(idle)
            for client in (honest, newcomer):
                client.sendall(GET_PAGE)
                assert read_answer(client).endswith(b"page\n")


def test_clients_that_wait_for_an_answer_keep_no_client_out(start: Start, pages: Pages) -> None:
    address = start(max_connections=2)
    with connected(address) as first, connected(address) as second:
        for client in (first, second):
            client.sendall(GET_PAGE.replace(b"/page", b"/waits"))
        assert pages.waiting.wait(TIMEOUT)
        assert get(address).text == "page\n"
        pages.release()


@pytest.mark.parametrize("ended", [False, True])
def test_a_head_has_a_size_limit(ended: bool, start: Start) -> None:  # noqa: FBT001 - a case of two
    with connected(start()) as client:
        client.sendall(GET_PAGE[:-2] + b"x: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n" * ended)
        assert read_to_end(client).startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


def test_a_head_below_the_limit_is_read(start: Start) -> None:
    padding = b"x: " + b"a" * (MAX_HEAD_BYTES - len(GET_PAGE) - 5) + b"\r\n"
    with connected(start()) as client:
        for _ in range(2):
            client.sendall(GET_PAGE[:-2] + padding + b"\r\n")
            assert read_answer(client).startswith(b"HTTP/1.1 200 OK\r\n")


def test_requests_that_do_not_wait_for_answers_get_one(start: Start, pages: Pages) -> None:
    with connected(start()) as client:
        client.sendall(GET_PAGE * 100)
        answer = read_to_end(client)
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 1
    assert b"connection: close\r\n" in answer
    assert len(pages.asked) == 1


def test_nothing_is_read_while_an_answer_is_not_taken(start: Start, pages: Pages) -> None:
    with connected(start(timeout=1.0), receive_buffer=4096) as client:
        client.sendall(GET_PAGE.replace(b"/page", b"/large"))
        client.recv(1)
        client.sendall(GET_PAGE)
        assert is_gone(client)
    assert pages.asked == ["/large"]


def test_nothing_is_read_while_an_answer_is_made(start: Start, pages: Pages) -> None:
    with connected(start()) as client:
        client.sendall(GET_PAGE.replace(b"/page", b"/waits"))
        assert pages.waiting.wait(TIMEOUT)
        client.sendall(GET_PAGE)
        pages.release()
        assert read_answer(client).endswith(b"waited\n")
        assert read_answer(client).endswith(b"page\n")


def test_a_refusal_reaches_a_client_that_is_still_sending(start: Start) -> None:
    with connected(start()) as client:
        client.sendall(b"POST /page HTTP/1.1\r\nhost: test\r\ncontent-length: 10000\r\n\r\n")
        assert is_gone(client)
        for _ in range(10):
            client.sendall(bytes(1000))
            assert not is_reset(client, 0.01)
        assert read_to_end(client).startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")


def test_a_client_that_goes_on_sending_is_cut_off(start: Start) -> None:
    with connected(start()) as client:
        client.sendall(b"POST /page HTTP/1.1\r\nhost: test\r\ncontent-length: 100000000\r\n\r\n")
        with pytest.raises(ConnectionError):
            client.sendall(bytes(100_000_000))


# What is asked.


@pytest.mark.parametrize("header", ["content-length: 1", "transfer-encoding: chunked"])
def test_a_body_is_refused(header: str, start: Start, pages: Pages) -> None:
    with connected(start()) as client:
        client.sendall(GET_PAGE[:-2] + f"{header}\r\n\r\n".encode())
        assert read_to_end(client).startswith(b"HTTP/1.1 413 Request Entity Too Large\r\n")
    assert not pages.asked


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /page HTTP/9.9\r\n\r\n",
        b"GET /page HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /page HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
    ],
    ids=["TLS", "HTTP/2", "an unknown version", "no header", "two lengths", "no URL"],
)
def test_invalid_http_is_rejected_and_not_logged(sent: bytes, start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with connected(start()) as client:
        client.sendall(sent)
        assert read_to_end(client).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert not caplog.records


@pytest.mark.parametrize("target", ["/page?query", "/%70age", "http://other.test/page", "/page#"])
def test_a_path_may_be_written_in_several_ways(target: str, start: Start) -> None:
    with connected(start()) as client:
        client.sendall(GET_PAGE.replace(b"/page", target.encode()))
        assert read_answer(client).endswith(b"page\n")


@pytest.mark.parametrize("target", ["//page", "/page/", "/./page", "/page%00", "/p%C3%A4ge", "*", "/PAGE"])
def test_other_paths_are_not_found(target: str, start: Start, pages: Pages) -> None:
    with connected(start()) as client:
        client.sendall(GET_PAGE.replace(b"/page", target.encode()))
        assert read_answer(client).startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert not pages.asked


def test_an_offer_of_another_protocol_is_passed_over(start: Start) -> None:
    upgrade = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n"
    with connected(start()) as client:
        client.sendall(GET_PAGE[:-2] + upgrade)
        answer = read_to_end(client)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close\r\n" in answer


@pytest.mark.parametrize(
    "sent", [GET_PAGE.replace(b"1.1", b"1.0"), GET_PAGE[:-2] + b"connection: close\r\n\r\n"], ids=["1.0", "close"]
)
def test_a_connection_ends_when_the_client_wants_it_to(sent: bytes, start: Start) -> None:
    with connected(start()) as client:
        client.sendall(sent)
        answer = read_to_end(client)
    assert answer.endswith(b"page\n")
    assert b"connection: close\r\n" in answer


def test_head_has_the_headers_alone(start: Start) -> None:
    address = start()
    whole = get(address)
    with connected(address) as client:
        client.sendall(GET_PAGE.replace(b"GET", b"HEAD")[:-2] + b"connection: close\r\n\r\n")
        head, _, body = read_to_end(client).partition(b"\r\n\r\n")
    assert not body
    assert f"content-length: {whole.headers['content-length']}".encode() in head


def test_a_response_has_a_date_and_no_server_header(start: Start) -> None:
    headers = get(start()).headers
    assert headers["date"] == "Fri, 15 Jan 2027 08:00:00 GMT"
    assert set(headers) == {"content-type", "content-length", "date"}


@pytest.mark.parametrize("path", ["/fails", "/fails-later"])
def test_a_page_that_fails_is_logged_and_not_shown(path: str, start: Start, caplog: pytest.LogCaptureFixture) -> None:
    answer = get(start(), path)
    assert (answer.status_code, answer.text) == (500, "Internal Server Error\n")
    assert [record.message for record in caplog.records] == ["request failed"]


# The end.


def test_a_listener_that_stops_gives_the_answers_it_owes(pages: Pages) -> None:
    bound = BoundAddress("test", "127.0.0.1:0")
    listener = HttpListener(bound, Site(pages.by_path)).start()
    with connected(bound.address) as idle, connected(bound.address) as client:
        client.sendall(GET_PAGE.replace(b"/page", b"/waits"))
        assert pages.waiting.wait(TIMEOUT)
        stopping = threading.Thread(target=listener.stop)
        stopping.start()
        assert is_gone(idle)
        pages.release()
        answer = read_to_end(client)
    stopping.join(TIMEOUT)
    assert answer.endswith(b"waited\n")
    assert b"connection: close\r\n" in answer
    assert not stopping.is_alive()


# The ops listener.


class Looks:
    """Checks engines that do not respond until they are released."""

    def __init__(self) -> None:
        self.count = 0
        self.begun = threading.Event()
        self.released = threading.Event()

    def __call__(self) -> tuple[bool, list[str]]:
        self.count += 1
        self.begun.set()
        assert self.released.wait(TIMEOUT)
        return True, []


class Counting(Collector):
    """Counts its calls."""

    def __init__(self) -> None:
        self.count = 0

    def collect(self) -> Iterator[Metric]:
        self.count += 1
        yield Metric("collected", "How often.", "gauge")


def test_a_flood_of_readiness_probes_looks_once_at_a_time_and_stalls_nothing() -> None:
    looks, registry = Looks(), CollectorRegistry()
    with serving(ops_pages(registry, looks, lambda: (True, []))) as address, ExitStack() as flood:
        clients = [flood.enter_context(connected(address)) for _ in range(100)]
        for client in clients:
            client.sendall(GET_PAGE.replace(b"/page", b"/readyz"))
        assert looks.begun.wait(TIMEOUT)
        assert get(address, "/livez").text == "ok\n"
        assert get(address, "/metrics").status_code == HTTPStatus.OK
        looks.released.set()
        assert all(read_answer(client).endswith(b"ok\n") for client in clients)
    assert looks.count <= 2


def test_a_flood_of_scrapes_shares_what_is_rendered() -> None:
    counting, registry, looks = Counting(), CollectorRegistry(), Looks()
    registry.register(counting)
    counting.count = 0
    with serving(ops_pages(registry, looks, lambda: (True, []))) as address, ExitStack() as flood:
        clients = [flood.enter_context(connected(address)) for _ in range(100)]
        for version, client in enumerate(clients):
            accept = f"accept: application/openmetrics-text; version=1.0.{version}\r\n\r\n"
            client.sendall(GET_PAGE.replace(b"/page", b"/metrics")[:-2] + accept.encode())
        assert all(read_answer(client).startswith(b"HTTP/1.1 200 OK\r\n") for client in clients)
    assert counting.count < len(clients) / 2


def _need_descriptors(count: int) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < count:
        pytest.skip(f"needs {count} file descriptors")


def test_a_client_that_goes_between_its_answer_and_the_end_is_dropped_quietly(
    start: Start, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_transport: object) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    address = start()
    monkeypatch.setattr(selector_events._SelectorSocketTransport, "write_eof", gone)  # type: ignore[attr-defined] # noqa: SLF001
    with connected(address) as client:
        client.sendall(b"GET /page HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
        with suppress(ConnectionError):
            read_to_end(client)
        assert is_reset(client, TIMEOUT)
    assert caplog.records == []
