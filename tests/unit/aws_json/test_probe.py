"""The listener's self-checks report the same as callers would see."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from math import inf
from pathlib import Path

import pytest
from tests.fakes.clock import FakeClock
from tests.support.authority import Authority
from tests.support.grpc_service import TIMEOUT

from tokend_server.aws_json.probe import ListenerProbe, answers_requests
from tokend_server.rpc.readiness import ProbeTimeouts, Reachability
from tokend_server.tls_files import TlsFiles, TlsGauges
from tokend_server.web.listener import BoundAddress, HttpListener
from tokend_server.web.message import Request, Response, plain_text
from tokend_server.web.tls import ReloadedContext, reloaded_context


class Page:
    """Responds to every request."""

    methods: frozenset[str] | None = None
    max_body_bytes = 0

    def respond(self, _request: Request) -> Response:
        return plain_text("here")

    def refuse(self, status: HTTPStatus, _request: Request) -> Response:
        return plain_text("refused", status)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@contextmanager
def listening(tls: ReloadedContext | None = None) -> Iterator[str]:
    bound = BoundAddress("aws.listen", "127.0.0.1:0")
    listener = HttpListener(bound, Page(), tls=tls).start()
    try:
        yield bound.address
    finally:
        listener.stop()


Probed = Callable[..., ListenerProbe]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def probe(threads: ThreadPoolExecutor, clock: FakeClock) -> Probed:
    def made(address: str, *, live: float = TIMEOUT, has_tls: bool = False) -> ListenerProbe:
        return ListenerProbe("here", address, threads, clock, ProbeTimeouts(TIMEOUT, live), has_tls=has_tls)

    return made


def test_a_running_listener_passes_and_a_stopped_one_fails(probe: Probed, clock: FakeClock) -> None:
    with listening() as address:
        probed = probe(address)
        assert probed.reachability() == [Reachability("here", 0.0, inf, "aws")]
        probed.check()
        clock.advance(3)
        assert probed.reachability() == [Reachability("here", 3.0, 3.0, "aws")]
    probed.check()
    assert probed.reachability() == [Reachability("here", 0.0, 3.0, "aws")]


def test_the_check_fails_while_all_threads_are_busy(
    probe: Probed, clock: FakeClock, threads: ThreadPoolExecutor
) -> None:
    free = threading.Event()
    with listening() as address:
        probed = probe(address, live=0.0)
        threads.submit(free.wait)
        clock.advance(5)
        probed.check()
        assert probed.reachability() == [Reachability("here", 5.0, inf, "aws")]
        free.set()


def test_a_check_after_the_shutdown_of_the_threads_raises_no_error(
    probe: Probed, clock: FakeClock, threads: ThreadPoolExecutor
) -> None:
    probed = probe("127.0.0.1:1")
    threads.shutdown()
    clock.advance(1)
    probed.check()
    assert probed.reachability() == [Reachability("here", 1.0, inf, "aws")]


@pytest.mark.parametrize("demands_certificates", [False, True])
def test_a_listener_with_tls_passes_even_if_it_requires_client_certificates(
    tmp_path: Path,
    probe: Probed,
    demands_certificates: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    authority = Authority("all.example.test")
    server = authority.server("127.0.0.1")
    for name, pem in (("crt", server.certificate), ("key", server.private_key), ("ca", authority.certificate)):
        (tmp_path / name).write_bytes(pem)
    files = TlsFiles(tmp_path / "crt", tmp_path / "key", tmp_path / "ca" if demands_certificates else None)
    nothing = TlsGauges(lambda _seconds: None, lambda _stale: None, lambda: None)
    with listening(reloaded_context(files, "here", nothing)) as address:
        probed = probe(address, has_tls=True)
        probed.check()
        assert probed.reachability() == [Reachability("here", 0.0, 0.0, "aws")]


def test_a_listener_that_closes_the_connection_counts_as_responding() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def end_the_first() -> None:
            server.accept()[0].close()

        ender = threading.Thread(target=end_the_first)
        ender.start()
        assert answers_requests(f"127.0.0.1:{server.getsockname()[1]}", TIMEOUT)
        ender.join()


def test_a_listener_that_sends_no_response_fails() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not answers_requests(f"127.0.0.1:{server.getsockname()[1]}", 0.01)
