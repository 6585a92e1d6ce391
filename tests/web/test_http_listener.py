"""The HTTP of a read-only listener: paths, methods, headers, errors, and its stop."""

import threading

import pytest
from tests.support.grpc_service import TIMEOUT
from tests.web.http_pages import Pages, Start, get
from tests.web.raw_client import GET_PAGE, connected, is_gone, read_answer, read_to_end

from tokend_server.web.listener import BoundAddress, HttpListener
from tokend_server.web.site import Site


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


def test_head_returns_only_headers(start: Start) -> None:
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


def test_a_stopping_listener_sends_pending_responses(pages: Pages) -> None:
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
