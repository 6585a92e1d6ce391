"""The requirements of requests, and what scripts of web sites may read."""

from collections.abc import Iterator
from contextlib import closing
from http import HTTPStatus

import pytest
from tests.web.raw_client import connected, read_to_end

from tokend_server.web.listener import BoundAddress, HttpListener
from tokend_server.web.message import Request, Response, plain_text
from tokend_server.web.site import Site

ANY_ORIGIN = b"\r\naccess-control-allow-origin: *\r\n"


def _fail(_request: Request) -> Response:
    raise RuntimeError


def _start(*, public: bool) -> Iterator[str]:
    site = Site({"/page": lambda _request: plain_text("page\n"), "/failing": _fail}, public=public)
    with closing(BoundAddress("test", "127.0.0.1:0")) as bound:
        listener = HttpListener(bound, site).start()
        yield bound.address
        listener.stop()


@pytest.fixture(scope="module")
def public() -> Iterator[str]:
    yield from _start(public=True)


@pytest.fixture(scope="module")
def private() -> Iterator[str]:
    yield from _start(public=False)


def asked(address: str, *lines: str) -> bytes:
    """Returns the response to a request with these lines, after which the connection ends."""
    with connected(address) as client:
        client.sendall("".join(f"{line}\r\n" for line in (*lines, "connection: close", "")).encode("latin-1"))
        return read_to_end(client)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    "lines",
    [
        ("GET /page HTTP/1.1", "host: test"),
        ("GET /page HTTP/1.1", "Host:test:8080"),
        ("GET /page HTTP/1.1", "host: [::1]:8080"),
        ("GET /page HTTP/1.1", "host:"),
        ("GET /page HTTP/1.0",),
        ("GET /page HTTP/1.0", "host: test"),
        ("GET http://other.example/page HTTP/1.1", "host: test"),
        ("GET http://other.example/page HTTP/1.0",),
    ],
)
def test_requests_with_a_valid_host_are_served(lines: tuple[str, ...], public: str) -> None:
    assert asked(public, *lines).endswith(b"page\n")


@pytest.mark.parametrize(
    "lines",
    [
        ("GET /page HTTP/1.1",),
        ("GET http://test/page HTTP/1.1",),
        ("HEAD /page HTTP/1.1",),
        ("OPTIONS /page HTTP/1.1",),
        ("POST /page HTTP/1.1",),
        ("GET /absent HTTP/1.1",),
        ("GET /page HTTP/1.1", "host: a", "host: a"),
        ("GET /page HTTP/1.1", "Host: a", "x-between: b", "HOST: b"),
        ("GET /page HTTP/1.0", "host: a", "host: b"),
        ("GET /page HTTP/1.1", "host: a b"),
        ("GET /page HTTP/1.1", "host: user@test"),
        ("GET /page HTTP/1.1", "host: test/path"),
        ("GET /page HTTP/1.1", "host: t\xe9st"),
    ],
)
def test_requests_with_a_missing_repeated_or_invalid_host_are_refused(lines: tuple[str, ...], public: str) -> None:
    assert status_of(asked(public, *lines)) == HTTPStatus.BAD_REQUEST


def test_a_host_counts_for_its_own_request_alone(public: str) -> None:
    with connected(public) as client:
        client.sendall(b"GET /page HTTP/1.1\r\nhost: test\r\n\r\n")
        received = b""
        while not received.endswith(b"page\n"):
            received += client.recv(65_536)
        client.sendall(b"GET /page HTTP/1.1\r\n\r\n")
        assert status_of(read_to_end(client)) == HTTPStatus.BAD_REQUEST


REFUSED = {
    ("GET /absent HTTP/1.1", "host: test"): HTTPStatus.NOT_FOUND,
    ("POST /page HTTP/1.1", "host: test"): HTTPStatus.METHOD_NOT_ALLOWED,
    ("GET /page HTTP/1.1",): HTTPStatus.BAD_REQUEST,
    ("GET /page HTTP/1.1", "host: test", "content-length: 1"): HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ("GET /page HTTP/1.1", "host: test", "x: " + "x" * 20_000): HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    ("GET /failing HTTP/1.1", "host: test"): HTTPStatus.INTERNAL_SERVER_ERROR,
    ("nonsense",): HTTPStatus.BAD_REQUEST,
}


@pytest.mark.parametrize("lines", REFUSED)
def test_a_script_may_read_every_refusal_of_a_public_site(lines: tuple[str, ...], public: str, private: str) -> None:
    open_answer, kept = asked(public, *lines), asked(private, *lines)
    assert status_of(open_answer) == status_of(kept) == REFUSED[lines]
    assert ANY_ORIGIN in open_answer
    assert ANY_ORIGIN not in kept


@pytest.mark.parametrize("target", ["/page", "/absent", "*", "/page?query"])
def test_a_preflight_is_answered(target: str, public: str) -> None:
    answer = asked(
        public,
        f"OPTIONS {target} HTTP/1.1",
        "host: test",
        "origin: https://site.example",
        "access-control-request-method: GET",
        "access-control-request-headers: x-requested-with",
    )
    assert status_of(answer) == HTTPStatus.NO_CONTENT
    assert ANY_ORIGIN in answer
    assert b"\r\naccess-control-allow-methods: GET, HEAD\r\n" in answer
    assert b"\r\naccess-control-allow-headers: *\r\n" in answer
    assert b"content-length" not in answer


def test_a_site_that_is_not_public_has_no_preflight(private: str) -> None:
    assert status_of(asked(private, "OPTIONS /page HTTP/1.1", "host: test")) == HTTPStatus.METHOD_NOT_ALLOWED
