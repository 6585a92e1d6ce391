"""grpc.health.v1 on the SDS listeners."""

import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tests.mesh.listeners import configuration, metric, sections, serving
from tests.mesh.secret_streams import TIMEOUT, connection
from tests.support.grpc_service import failure
from tests.support.health import NOT_SERVING, SERVING, check_health, watch_health
from tests.support.silent_calls import SilentCalls

from tokend_server import app
from tokend_server.app import Service
from tokend_server.config import Config
from tokend_server.mesh.sds_messages import SERVICE

NAMES = ("", SERVICE)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(configuration(tmp_path_factory.mktemp("sds"))) as running:
        yield running


@pytest.fixture
def channel(service: Service) -> Iterator[grpc.Channel]:
    with connection(service.sds_addresses[0]) as opened:
        yield opened


@pytest.mark.parametrize("name", NAMES)
def test_a_health_check_returns_serving(name: str, channel: grpc.Channel) -> None:
    assert check_health(channel, name) == SERVING


def test_the_health_list_has_all_services(channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    answer = stub.List(health_pb2.HealthListRequest(), timeout=TIMEOUT)  # type: ignore[attr-defined] # not in the stubs
    assert {name: each.status for name, each in answer.statuses.items()} == dict.fromkeys(NAMES, SERVING)


def test_another_service_is_not_found(channel: grpc.Channel) -> None:
    assert failure(lambda: check_health(channel, "x")).code is grpc.StatusCode.NOT_FOUND
    assert next(watch_health(channel, "x")).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def test_checks_are_counted_by_their_codes(tmp_path: Path) -> None:
    with serving(configuration(tmp_path)) as service, connection(service.sds_addresses[0]) as channel:
        check_health(channel)
        failure(lambda: check_health(channel, "x"))
        codes = ("OK", "NotFound")
        name, of = "grpc_server_handled_total", {"grpc_service": health.SERVICE_NAME, "grpc_method": "Check"}
        while (counted := [metric(service, name, **of, grpc_code=code) for code in codes]) != [1, 1]:
            assert sum(counted) < 2, counted


def test_a_malformed_health_request_is_rejected(channel: grpc.Channel) -> None:
    check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/Check")
    seen = failure(lambda: check(b"\xff", timeout=TIMEOUT))
    assert (seen.code, seen.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")


@pytest.mark.parametrize("name", NAMES)
def test_a_watch_sees_the_shutdown_and_ends(name: str, tmp_path: Path) -> None:
    service = app.start(configuration(tmp_path))
    with connection(service.sds_addresses[0]) as channel:
        watch = watch_health(channel, name)
        seen = [next(watch).status]
        service.stop()
        seen += [each.status for each in watch]
    assert seen == [SERVING, NOT_SERVING]


def test_watches_are_bounded_for_each_caller(tmp_path: Path) -> None:
    with (
        serving(configuration(tmp_path, max_connections=8)) as service,
        connection(service.sds_addresses[0]) as channel,
        connection(service.sds_addresses[0]) as other,
    ):
        watches = [watch_health(channel) for _ in range(8)]
        assert {next(watch).status for watch in watches} == {SERVING}
        with pytest.raises(grpc.RpcError) as caught:
            next(watch_health(channel))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert next(watch_health(other)).status == SERVING


@pytest.mark.parametrize(
    ("health", "code"), [("identified", grpc.StatusCode.UNAUTHENTICATED), ("anyone", grpc.StatusCode.OK)]
)
def test_the_health_setting_applies_to_sds_listeners(health: str, code: grpc.StatusCode, tmp_path: Path) -> None:
    given = sections(tmp_path, identify_by=["bearer_key"])
    given["grpc"]["health"] = health
    given["callers"] = {"keys": {"a": ["sha256:" + "0" * 64]}}
    with serving(Config.model_validate(given)) as service, connection(service.sds_addresses[0]) as channel:
        if code is grpc.StatusCode.OK:
            assert check_health(channel) == SERVING
        else:
            assert failure(lambda: check_health(channel)).code is code


def test_a_watch_that_its_deadline_ends_is_counted_as_such(tmp_path: Path) -> None:
    path = "/grpc.health.v1.Health/Watch"
    name, of = "grpc_server_handled_total", {"grpc_service": health.SERVICE_NAME, "grpc_method": "Watch"}
    with (
        serving(configuration(tmp_path)) as service,
        SilentCalls(service.sds_addresses[0], path, metadata=[("grpc-timeout", "100m")]) as calls,
    ):
        (stream,) = calls.begin()
        calls.send(stream, b"")
        codes = ("Canceled", "DeadlineExceeded")
        while not any(counted := [metric(service, name, **of, grpc_code=code) for code in codes]):
            threading.Event().wait(0.01)
        assert counted == [0, 1]


def test_calls_are_counted(service: Service, channel: grpc.Channel) -> None:
    labels = {"grpc_service": "grpc.health.v1.Health", "grpc_method": "Check", "grpc_code": "OK"}
    before = metric(service, "grpc_server_handled_total", **labels)
    check_health(channel)
    assert metric(service, "grpc_server_handled_total", **labels) == before + 1
