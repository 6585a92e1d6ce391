"""Requests with bodies: how much of them is read, and misuse by clients."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http import HTTPStatus

import pytest
from tests.support.grpc_service import TIMEOUT
from tests.web.raw_client import connected, is_gone, read_answer, read_to_end

from tokend_server.web.listener import BoundAddress, HttpListener
from tokend_server.web.message import Request, Response, plain_text
from tokend_server.web.request_parser import MAX_HEAD_BYTES

MOST = 100_000
SHORT = 0.3
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

Start = Callable[..., str]


class Echo:
    """Responds to every request with its body."""

    methods: frozenset[str] | None = None
    max_body_bytes = MOST

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def respond(self, request: Request) -> Response:
        self.asked.append(request)
        return plain_text(request.body.decode("latin-1"))

    def refuse(self, status: HTTPStatus, _request: Request) -> Response:
        return plain_text("refused", status)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def start(echo: Echo) -> Iterator[Start]:
    """Starts listeners, and returns the HOST:PORT of each."""
    with ExitStack() as running:

        def begin(timeout: float = TIMEOUT, max_total_body_bytes: int = 10 * MOST) -> str:
            bound = running.enter_context(closing(BoundAddress("test", "127.0.0.1:0")))
            listener = HttpListener(bound, echo, timeout=timeout, max_total_body_bytes=max_total_body_bytes).start()
            running.callback(listener.stop)
            return bound.address

        yield begin


def head(framing: str, method: str = "POST", version: str = "1.1") -> bytes:
    return f"{method} /a?b=%20 HTTP/{version}\r\nhost: test\r\n{framing}\r\n\r\n".encode()


def sized(body: bytes) -> bytes:
    return head(f"content-length: {len(body)}") + body


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    sent = b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in chunks)
    return head("transfer-encoding: Chunked") + sent + end


def body_of(answer: bytes) -> bytes:
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    return answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("body", [b"", b"x", b"\x00\xff\r\n\r\n", bytes(MOST)])
def test_a_body_is_read_whole_however_it_is_framed(body: bytes, start: Start, echo: Echo) -> None:
    with connected(start()) as client:
        for sent in (
            sized(body),
            chunked(body) if body else chunked(),
            chunked(body[:1], body[1:]) if body[1:] else b"",
        ):
            if sent:
                client.sendall(sent)
                assert body_of(read_answer(client)) == body.decode("latin-1").encode()
    assert {(each.method, each.target, each.path) for each in echo.asked} == {("POST", "/a?b=%20", "/a")}


def test_a_body_may_come_in_pieces(start: Start, echo: Echo) -> None:
    with connected(start()) as client:
        for byte in chunked(b"some", b"thing"):
            assert not echo.asked
            client.sendall(bytes([byte]))
        assert body_of(read_answer(client)) == b"something"


def test_the_size_limit_of_the_head_excludes_the_body(start: Start) -> None:
    padding = f"content-length: {MOST}\r\nx: " + "x" * (MAX_HEAD_BYTES - 100)
    with connected(start()) as client:
        client.sendall(head(padding) + bytes(MOST))
        assert len(body_of(read_answer(client))) == MOST


OFFER = "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk"


@pytest.mark.parametrize(
    "framed",
    [
        f"content-length: 9\r\n{OFFER}\r\n\r\nsomething",
        f"{OFFER}\r\ntransfer-encoding: chunked\r\n\r\n4\r\nsome\r\n5\r\nthing\r\n0\r\n\r\n",
        f"content-length: 0\r\n{OFFER}\r\n\r\n",
        f"{OFFER}\r\n\r\n",
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_a_body_of_a_request_with_an_upgrade_offer_is_read(framed: str, size: int, start: Start, echo: Echo) -> None:
    sent = f"POST /a?b=%20 HTTP/1.1\r\nhost: test\r\n{framed}".encode()
    with connected(start()) as client:
        for at in range(0, len(sent), size):
            assert not echo.asked
            client.sendall(sent[at : at + size])
        answer = read_to_end(client)
    assert body_of(answer) == (b"something" if "thing" in framed else b"")
    assert b"\r\nconnection: close\r\n" in answer


def test_bytes_after_a_body_are_not_part_of_it(start: Start, echo: Echo) -> None:
    with connected(start()) as client:
        client.sendall(head(f"content-length: 5\r\n{OFFER}") + b"first" + sized(b"second"))
        assert body_of(read_to_end(client)) == b"first"
    assert len(echo.asked) == 1


@pytest.mark.parametrize(
    ("framed", "status"),
    [
        (f"content-length: {MOST + 1}\r\n{OFFER}\r\n\r\n", 413),
        (f"transfer-encoding: chunked\r\n{OFFER}\r\n\r\n{MOST + 1:x}\r\n{'x' * (MOST + 1)}", 413),
        (f"transfer-encoding: chunked\r\n{OFFER}\r\n\r\nzz\r\n", 400),
        (f"transfer-encoding: gzip, chunked\r\n{OFFER}\r\n\r\n", 501),
    ],
)
def test_bodies_with_an_upgrade_offer_have_the_same_limits(framed: str, status: int, start: Start, echo: Echo) -> None:
    with connected(start()) as client:
        client.sendall(f"POST / HTTP/1.1\r\nhost: test\r\n{framed}".encode())
        assert read_to_end(client).startswith(f"HTTP/1.1 {status} ".encode())
    assert not echo.asked


def test_requests_follow_each_other(start: Start) -> None:
    with connected(start()) as client:
        for body in (b"first", b"", b"third"):
            client.sendall(sized(body))
            assert body_of(read_answer(client)) == body


def test_a_pipelined_request_is_not_read(start: Start, echo: Echo) -> None:
    with connected(start()) as client:
        client.sendall(sized(b"first") + sized(b"second"))
        answer = read_to_end(client)
    assert answer.endswith(b"\r\n\r\nfirst")
    assert b"\r\nconnection: close\r\n" in answer
    assert len(echo.asked) == 1


@pytest.mark.parametrize(
    "sent", [sized(bytes(MOST + 1)), chunked(bytes(MOST), b"x"), head(f"content-length: {MOST + 1}")]
)
def test_a_body_has_a_size_limit(sent: bytes, start: Start, echo: Echo) -> None:
    with connected(start()) as client:
        client.sendall(sent)
        assert read_to_end(client).startswith(b"HTTP/1.1 413 ")
    assert not echo.asked


@pytest.mark.parametrize("filler", [b"1;" + b"x" * 1000 + b"\r\nx\r\n", b"1\r\nx\r\n"], ids=["extensions", "chunks"])
def test_chunk_framing_counts_toward_the_size_limit(filler: bytes, start: Start, echo: Echo) -> None:
    with connected(start()) as client:
        client.sendall(head("transfer-encoding: chunked") + filler * (2 * MOST // len(filler)))
        assert read_to_end(client).startswith(b"HTTP/1.1 413 ")
    assert not echo.asked


def test_space_around_a_value_is_no_part_of_it(start: Start, echo: Echo) -> None:
    """By RFC 9110, section 5.5."""
    with connected(start()) as client:
        client.sendall(
            head("transfer-encoding: \t chunked \r\na: \t b\t c \r\na: \t\r\na: d ") + b"1\r\nx\r\n0\r\n\r\n"
        )
        assert body_of(read_answer(client)) == b"x"
    assert echo.asked[0].headers[b"a"] == b"b\t c,,d"


def test_trailers_are_no_headers(start: Start, echo: Echo) -> None:
    with connected(start()) as client:
        client.sendall(chunked(b"x", end=b"0\r\nhost: other\r\nx-trailer: x\r\n\r\n"))
        assert body_of(read_answer(client)) == b"x"
        client.sendall(chunked(b"x", end=b"0\r\nx: " + b"x" * (MOST + MAX_HEAD_BYTES)))
        assert read_to_end(client).startswith(b"HTTP/1.1 413 ")
    assert dict(echo.asked[0].headers) == {b"host": b"test", b"transfer-encoding": b"Chunked"}


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (head("content-length: 1\r\ntransfer-encoding: chunked") + b"0\r\n\r\n", 400),
        (head("content-length: -1"), 400),
        (head("content-length: 1, 1") + b"x", 400),
        (head("content-length: 99999999999999999999999"), 400),
        (head("transfer-encoding: chunked") + b"no size\r\n", 400),
        (head("transfer-encoding: chunked") + b"1\r\nxx\r\n", 400),
        (head("transfer-encoding: chunked, identity"), 400),
        (head("transfer-encoding: gzip, chunked") + b"0\r\n\r\n", 501),
        (head("transfer-encoding:"), 400),
    ],
)
def test_a_body_whose_length_is_not_clear_is_refused(sent: bytes, status: int, start: Start, echo: Echo) -> None:
    with connected(start()) as client:
        client.sendall(sent)
        answer = read_to_end(client)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert answer.count(b"HTTP/1.1") == 1
    assert not echo.asked


def test_one_100_continue_is_sent_per_request(start: Start) -> None:
    with connected(start()) as client:
        for _ in range(2):
            client.sendall(head("content-length: 4\r\nexpect: 100-Continue \t"))
            assert client.recv(65_536) == CONTINUE
            client.sendall(b"bo")
            client.sendall(b"dy")
            assert body_of(read_answer(client)) == b"body"


@pytest.mark.parametrize(
    "sent",
    [
        sized(b"body").replace(b"host", b"expect: 100-continue\r\nhost"),
        head("content-length: 4\r\nexpect: 100-continue", version="1.0") + b"body",
        head("expect: 100-continue\r\ncontent-length: 0"),
        head(f"expect: 100-continue\r\ncontent-length: {MOST + 1}"),
    ],
    ids=["a body that is there", "HTTP/1.0", "no body", "a body that is refused"],
)
def test_100_continue_is_sent_only_to_clients_that_wait_for_it(sent: bytes, start: Start) -> None:
    with connected(start()) as client:
        client.sendall(sent)
        assert not read_answer(client).startswith(CONTINUE)


def test_an_incomplete_body_times_out(start: Start, echo: Echo) -> None:
    with connected(start(timeout=SHORT)) as client:
        client.sendall(sized(bytes(MOST))[:-1])
        assert is_gone(client)
    assert not echo.asked


def test_above_the_total_size_limit_the_largest_body_is_dropped(start: Start) -> None:
    address = start(max_total_body_bytes=2 * MOST)
    with ExitStack() as clients:
        sizes = [1000, 90_000, 40_000, 40_000, 40_000]
        small, large, *others = [clients.enter_context(connected(address)) for _ in sizes]
        for client, size in zip((small, large, *others), sizes, strict=True):
            client.sendall(head(f"content-length: {size + 1}") + bytes(size))
        assert is_gone(large)
        for client in (small, *others):
            client.sendall(b"x")
            assert body_of(read_answer(client)).endswith(b"x")
