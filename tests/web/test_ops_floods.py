"""Floods of probes and scrapes on the ops listener."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector
from tests.support.grpc_service import TIMEOUT
from tests.web.http_pages import get, serving
from tests.web.raw_client import GET_PAGE, connected, read_answer

from tokend_server.web.probes import ops_pages


class Checks:
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


def test_a_flood_of_readiness_probes_shares_one_check() -> None:
    checks, registry = Checks(), CollectorRegistry()
    with serving(ops_pages(registry, checks, lambda: (True, []))) as address, ExitStack() as flood:
        clients = [flood.enter_context(connected(address)) for _ in range(100)]
        for client in clients:
            client.sendall(GET_PAGE.replace(b"/page", b"/readyz"))
        assert checks.begun.wait(TIMEOUT)
        assert get(address, "/livez").text == "ok\n"
        assert get(address, "/metrics").status_code == HTTPStatus.OK
        checks.released.set()
        assert all(read_answer(client).endswith(b"ok\n") for client in clients)
    assert checks.count <= 2


def test_a_flood_of_scrapes_shares_what_is_rendered() -> None:
    counting, registry, checks = Counting(), CollectorRegistry(), Checks()
    registry.register(counting)
    counting.count = 0
    with serving(ops_pages(registry, checks, lambda: (True, []))) as address, ExitStack() as flood:
        clients = [flood.enter_context(connected(address)) for _ in range(100)]
        for version, client in enumerate(clients):
            accept = f"accept: application/openmetrics-text; version=1.0.{version}\r\n\r\n"
            client.sendall(GET_PAGE.replace(b"/page", b"/metrics")[:-2] + accept.encode())
        assert all(read_answer(client).startswith(b"HTTP/1.1 200 OK\r\n") for client in clients)
    assert counting.count < len(clients) / 2
