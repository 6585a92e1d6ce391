"""Misbehaving clients of a read-only listener do not affect other clients."""

import errno
import logging
import resource
from asyncio import selector_events
from contextlib import ExitStack, suppress

import pytest
from tests.support.grpc_service import TIMEOUT
from tests.web.http_pages import Pages, Start, get
from tests.web.raw_client import GET_PAGE, connected, is_gone, is_reset, read_answer, read_to_end

from tokend_server.web.request_parser import MAX_HEAD_BYTES

#: The short timeouts of a listener, for tests that wait for them.
SHORT = 0.3


@pytest.mark.parametrize(
    "sent",
    [b"", GET_PAGE[:20], GET_PAGE[:-2], GET_PAGE + GET_PAGE[:20]],
    ids=["nothing", "half a head", "all but the end of a head", "half a second request"],
)
def test_a_client_that_does_not_finish_its_request_is_dropped(sent: bytes, start: Start) -> None:
    with connected(start(timeout=SHORT)) as client:
        client.sendall(sent)
        assert is_gone(client)


def test_sending_single_bytes_does_not_extend_the_timeout(start: Start) -> None:
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


def test_the_timeout_of_a_client_excludes_the_response_time(start: Start, pages: Pages) -> None:
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


def test_a_slow_body_of_a_rejected_request_is_cut_off(start: Start) -> None:
    with connected(start(timeout=SHORT)) as client:
        client.sendall(b"POST /page HTTP/1.1\r\nhost: test\r\ncontent-length: 1000000\r\n\r\n")
        assert read_to_end(client).startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
        sent = 0
        with suppress(ConnectionError):
            while sent < 1000 and not is_reset(client, SHORT / 20):
                client.sendall(b"x")
                sent += 1
        assert sent < 1000


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


def test_clients_that_wait_for_a_response_do_not_block_others(start: Start, pages: Pages) -> None:
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


def test_pipelined_requests_get_one_response(start: Start, pages: Pages) -> None:
    with connected(start()) as client:
        client.sendall(GET_PAGE * 100)
        answer = read_to_end(client)
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 1
    assert b"connection: close\r\n" in answer
    assert len(pages.asked) == 1


def test_no_request_is_read_while_the_client_does_not_read_its_response(start: Start, pages: Pages) -> None:
    with connected(start(timeout=1.0), receive_buffer=4096) as client:
        client.sendall(GET_PAGE.replace(b"/page", b"/large"))
        client.recv(1)
        client.sendall(GET_PAGE)
        assert is_gone(client)
    assert pages.asked == ["/large"]


def test_a_request_sent_during_a_pending_response_is_served_after_it(start: Start, pages: Pages) -> None:
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


def _need_descriptors(count: int) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < count:
        pytest.skip(f"needs {count} file descriptors")


def test_a_client_that_disconnects_after_the_response_logs_nothing(
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
