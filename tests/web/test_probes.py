import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry
from tests.support.grpc_service import TIMEOUT
from tests.support.metric_samples import samples
from tests.support.server_process import ServerProcess
from tests.web.in_process import start_service

from tokend_server.app import Service
from tokend_server.config import Keys, KeyTimes
from tokend_server.web.message import Request, Response
from tokend_server.web.probes import ops_pages

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

#: How long a stopping service is not ready before it stops; the test does not wait for that end.
ANNOUNCED_FOR = 2.0


class Probed:
    """A service for one test, with its probes and its store."""

    def __init__(self, service: Service, database: Path, http: httpx.Client) -> None:
        self.service = service
        self._database = database
        self._http = http

    def get(self, probe: str) -> httpx.Response:
        return self._http.get(f"http://{self.service.ops_address}{probe}")

    def wait_for(self, probe: str, status_code: int) -> httpx.Response:
        """Returns the first response with that status."""
        until = time.monotonic() + TIMEOUT
        while (answer := self.get(probe)).status_code != status_code:
            assert time.monotonic() < until
        return answer

    def health(self) -> set[int]:
        """Returns the status of the server and of the service in grpc.health.v1."""
        with grpc.insecure_channel(self.service.grpc_addresses[0]) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            names = ("", "tokend.v1.DeveloperIdentityService")
            return {stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=30).status for name in names}

    def ready_by_metrics(self) -> bool:
        """Returns the value of `tokend_ready`."""
        (sample,) = samples(self.get("/metrics").text, "tokend_ready")
        return sample.value == 1

    def execute(self, statement: str) -> None:
        """Changes the store without the service."""
        with closing(sqlite3.connect(self._database, timeout=30)) as connection, connection:
            connection.execute(statement)


@pytest.fixture
def probed(tmp_path: Path, http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[Probed]:
    monkeypatch.setattr(Keys, "times", KeyTimes(refresh=0.02))
    service = start_service(tmp_path)
    yield Probed(service, tmp_path / "tokend.db", http)
    service.stop()


@pytest.mark.parametrize("probe", ["/livez", "/readyz"])
def test_a_server_that_serves_is_live_and_ready(probe: str, tokend: ServerProcess, http: httpx.Client) -> None:
    answer = http.get(tokend.ops + probe)
    assert (answer.status_code, answer.text) == (200, "ok\n")
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("probe", ["/livez", "/readyz", "/metrics"])
def test_probes_are_only_read(probe: str, tokend: ServerProcess, http: httpx.Client) -> None:
    assert http.post(tokend.ops + probe).status_code == 405


@pytest.mark.parametrize("path", ["/", "/readyz/", "/health", "/.well-known/jwks.json"])
def test_the_ops_listener_has_nothing_else(path: str, tokend: ServerProcess, http: httpx.Client) -> None:
    assert http.get(tokend.ops + path).status_code == 404


def test_a_problem_of_a_non_utf8_socket_path_is_shown_escaped() -> None:
    pages = ops_pages(CollectorRegistry(), lambda: (False, []), lambda: (False, ["grpc unix:/\udcff: none"]))
    answer = pages["/livez"](Request("/livez", {}))
    assert isinstance(answer, Response)
    assert (answer.head[:12], answer.body) == (b"HTTP/1.1 503", b"grpc unix:/\\udcff: none\n")


def test_without_its_store_the_service_is_not_ready_until_it_is_back(probed: Probed) -> None:
    assert (probed.get("/readyz").status_code, probed.health()) == (200, {SERVING})
    assert probed.ready_by_metrics()

    probed.execute("ALTER TABLE signing_keys RENAME TO lost")
    broken = probed.wait_for("/readyz", 503)
    assert broken.text == "local: The identity store does not answer (SQLITE_ERROR).\n"
    assert probed.health() == {NOT_SERVING}
    assert not probed.ready_by_metrics()
    assert probed.get("/livez").status_code == 200

    probed.execute("ALTER TABLE lost RENAME TO signing_keys")
    assert probed.wait_for("/readyz", 200).text == "ok\n"
    assert probed.health() == {SERVING}
    assert probed.ready_by_metrics()


def test_without_a_key_that_pools_need_the_service_is_not_ready(probed: Probed) -> None:
    probed.execute("DELETE FROM signing_keys WHERE algorithm = 'ES256'")
    unready = probed.wait_for("/readyz", 503)
    assert unready.text == "local: There is no ES256 signing key.\n"


def test_a_key_that_cannot_be_read_is_reported_without_the_key(
    probed: Probed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    probed.execute("UPDATE signing_keys SET private_key = CAST('canary-4713' AS BLOB) WHERE algorithm = 'ES256'")
    unready = probed.wait_for("/readyz", 503)
    assert unready.text.startswith("local: The record of signing key ")
    assert "canary-4713" not in unready.text + caplog.text


def test_a_service_that_stops_is_live_and_not_ready(probed: Probed) -> None:
    stopping = threading.Thread(target=probed.service.stop, kwargs={"drain_delay": ANNOUNCED_FOR})
    stopping.start()
    while (answer := probed.get("/readyz")).status_code == 200:
        assert stopping.is_alive()
    assert (answer.status_code, answer.text) == (503, "shutting down\n")
    assert probed.get("/livez").status_code == 200
    assert probed.health() == {NOT_SERVING}
    while probed.ready_by_metrics():
        assert stopping.is_alive()
    stopping.join()
    with pytest.raises(httpx.ConnectError):
        probed.get("/livez")
