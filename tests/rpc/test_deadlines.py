"""The caller's deadline: the engine receives it, and is not called after it."""

import math

import grpc
import pytest
from tests.fakes.clock import FakeClock
from tests.support import raw_http2
from tests.support.grpc_service import METHODS, TIMEOUT, VALID, GrpcService, failure, grpc_service
from tests.support.health import watch_health

from tokend_server.rpc.server import SERVICE_NAME

GET = "GetOpenIdTokenForDeveloperIdentity"


class LeapingClock(FakeClock):
    """Each reading is an hour after the previous one."""

    def monotonic(self) -> float:
        self.advance(3600)
        return super().monotonic()


@pytest.mark.parametrize("method", METHODS)
def test_the_engine_gets_no_deadline_if_the_caller_has_none(method: str, service: GrpcService) -> None:
    service.call(method, timeout=None)
    assert [each.remaining for each in service.engine.asked] == [math.inf]


@pytest.mark.parametrize("method", METHODS)
def test_the_engine_gets_the_time_that_the_caller_has_left(method: str) -> None:
    with grpc_service(FakeClock()) as service:
        service.call(method, timeout=50_000)
        (asked,) = service.engine.asked
        assert asked.remaining == pytest.approx(50_000, abs=1000)


@pytest.mark.parametrize("method", METHODS)
def test_a_spent_deadline_is_reported_before_any_work(method: str) -> None:
    with grpc_service(LeapingClock()) as service:
        seen = failure(lambda: service.call(method, timeout=1800))
        assert seen.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert seen.text == "The deadline was exceeded before the call was completed."
        assert service.engine.asked == []


def test_a_call_without_a_deadline_does_not_time_out() -> None:
    with grpc_service(LeapingClock()) as service:
        service.call(GET, timeout=None)
        assert len(service.engine.asked) == 1


@pytest.mark.usefixtures("no_spare_threads")
def test_a_call_whose_deadline_passes_in_the_queue_never_reaches_the_engine() -> None:
    with grpc_service(threads=1) as service, service.engine.holding() as hold:
        first = service.begin(GET)
        assert hold.entered.wait(TIMEOUT)
        second = service.begin("LookupDeveloperIdentity", timeout=0.5)
        # The connection keeps the order of calls: when the watch has a response, earlier calls have arrived.
        next(watch_health(service.channel))
        assert failure(second.result).code is grpc.StatusCode.DEADLINE_EXCEEDED
        next(watch_health(service.channel))
        hold.release.set()
        assert first.result(TIMEOUT)
        service.call("UnlinkDeveloperIdentity")
        assert [type(request).__name__ for request in service.engine.requests] == ["TokenRequest", "UnlinkRequest"]


@pytest.mark.usefixtures("no_spare_threads")
def test_a_call_that_is_cancelled_in_the_queue_never_reaches_the_engine() -> None:
    with grpc_service(threads=1) as service, service.engine.holding() as hold:
        first = service.begin(GET)
        assert hold.entered.wait(TIMEOUT)
        second = service.begin("LookupDeveloperIdentity")
        next(watch_health(service.channel))
        second.cancel()
        next(watch_health(service.channel))
        hold.release.set()
        assert first.result(TIMEOUT)
        service.call("UnlinkDeveloperIdentity")
        assert [type(request).__name__ for request in service.engine.requests] == ["TokenRequest", "UnlinkRequest"]


def test_a_timeout_of_zero_is_deadline_exceeded(service: GrpcService) -> None:
    metadata = [("grpc-timeout", "0u")]
    ending = raw_http2.call(service.address, f"/{SERVICE_NAME}/{GET}", VALID[GET].SerializeToString(), metadata)
    assert ending.fields[b"grpc-status"] == b"4"
    assert service.engine.asked == []
