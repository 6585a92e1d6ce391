"""grpc.health.v1 for load balancers. Checks do not take the threads of calls."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from tests.support.grpc_service import TIMEOUT, GrpcService, failure, grpc_service
from tests.support.health import NOT_SERVING, SERVING, check_health, wait_for, watch_health

from tokend_server.errors import EngineUnavailable
from tokend_server.rpc.readiness import Readiness

NAMES = ("", "tokend.v1.DeveloperIdentityService")


@pytest.fixture
def readiness(service: GrpcService) -> Readiness:
    return Readiness({"scripted": service.engine}, service.server.set_serving)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("problem", [EngineUnavailable("The store does not answer."), ValueError("unforeseen")])
def test_health_follows_readiness(name: str, problem: Exception, service: GrpcService, readiness: Readiness) -> None:
    readiness.check()
    assert check_health(service.channel, name) == SERVING
    service.engine.problem = problem
    readiness.check()
    assert check_health(service.channel, name) == NOT_SERVING
    service.engine.problem = None
    readiness.check()
    assert check_health(service.channel, name) == SERVING


@pytest.mark.parametrize("name", NAMES)
def test_a_watch_sees_each_change(name: str, service: GrpcService) -> None:
    readiness = Readiness({"scripted": service.engine}, service.server.set_serving, interval=0.01)
    readiness.start()
    try:
        watch = watch_health(service.channel, name)
        wait_for(watch, SERVING)
        service.engine.problem = EngineUnavailable("The store does not answer.")
        wait_for(watch, NOT_SERVING)
        service.engine.problem = None
        wait_for(watch, SERVING)
    finally:
        readiness.stop()


@pytest.mark.parametrize("name", NAMES)
def test_health_stays_not_serving_after_shutdown_begins(name: str, service: GrpcService, readiness: Readiness) -> None:
    readiness.check()
    watch = watch_health(service.channel, name)
    assert next(watch).status == SERVING
    service.server.enter_graceful_shutdown()
    assert next(watch).status == NOT_SERVING
    readiness.check()
    assert check_health(service.channel, name) == NOT_SERVING


def test_a_watch_receives_only_changes(service: GrpcService, readiness: Readiness) -> None:
    readiness.check()
    watch = watch_health(service.channel)
    assert next(watch).status == SERVING
    for _ in range(3):
        readiness.check()
    service.server.enter_graceful_shutdown()
    assert next(watch).status == NOT_SERVING


@pytest.mark.parametrize("name", ["x", "tokend.v1", "tokend.v1.DeveloperIdentityService/", "grpc.health.v1.Health"])
def test_another_service_is_not_found(name: str, service: GrpcService) -> None:
    assert failure(lambda: check_health(service.channel, name)).code is grpc.StatusCode.NOT_FOUND


def test_open_watches_take_no_thread_from_calls() -> None:
    with grpc_service(threads=1) as service:
        service.server.set_serving(True)
        watches = [watch_health(service.channel, name) for name in NAMES * 3]
        for watch in watches:
            next(watch)
        service.call("LookupDeveloperIdentity")
        assert len(service.engine.asked) == 1
        service.server.enter_graceful_shutdown()
        assert {next(watch).status for watch in watches} == {NOT_SERVING}


def test_open_reflection_streams_take_no_thread_from_calls() -> None:
    with grpc_service(threads=1) as service, ExitStack() as streams:
        for _ in range(3):
            streams.enter_context(open_reflection(service.channel))
        service.call("LookupDeveloperIdentity")
        assert len(service.engine.asked) == 1
        assert next(watch_health(service.channel)).status == NOT_SERVING


@contextmanager
def open_reflection(channel: grpc.Channel) -> Iterator[None]:
    """A reflection stream with one request, which the client leaves open."""
    asked = threading.Event()
    closed = threading.Event()

    def requests() -> Iterator[ServerReflectionRequest]:
        yield ServerReflectionRequest(list_services="")
        asked.set()
        closed.wait()

    inquire = channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        ServerReflectionRequest.SerializeToString,
        ServerReflectionResponse.FromString,
    )
    stream = inquire(requests())
    assert asked.wait(TIMEOUT)
    yield
    closed.set()
    stream.cancel()


def test_a_watch_is_answered_while_every_thread_is_busy() -> None:
    with grpc_service(threads=1) as service, service.engine.holding() as hold:
        call = service.begin("LookupDeveloperIdentity")
        hold.entered.wait()
        service.server.set_serving(True)
        assert next(watch_health(service.channel)).status == SERVING
        hold.release.set()
        call.result()


def test_a_malformed_health_request_is_rejected(service: GrpcService) -> None:
    seen = failure(lambda: service.send_to("/grpc.health.v1.Health/Check", b"\xff"))
    assert (seen.code, seen.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")


def test_the_health_list_has_all_services(service: GrpcService, readiness: Readiness) -> None:
    stub = health_pb2_grpc.HealthStub(service.channel)
    for problem, status in ((None, SERVING), (EngineUnavailable("The store does not answer."), NOT_SERVING)):
        service.engine.problem = problem
        readiness.check()
        answer = stub.List(health_pb2.HealthListRequest(), timeout=TIMEOUT)  # type: ignore[attr-defined] # not in the stubs
        assert {name: each.status for name, each in answer.statuses.items()} == dict.fromkeys(NAMES, status)
