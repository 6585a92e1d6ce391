"""How many calls wait or are worked on at once, on all listeners together."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from tests.support.grpc_service import METHODS, PATIENCE, POOL_ID, GrpcService, failure, grpc_service, insecure_channel
from tests.support.health import watch_health
from tests.support.silent_calls import SilentCalls

from tokend.v1.developer_identity_service_pb2 import LookupDeveloperIdentityRequest
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub
from tokend_server.rpc.calls_in_flight import CallsInFlight


class Counted:
    """A count with the refusals that it has told."""

    def __init__(self, most: int) -> None:
        self.refusals = 0
        self.calls = CallsInFlight(most, self._refused)

    def end(self) -> None:
        self.calls.ending(lambda: None)()

    def _refused(self) -> None:
        self.refusals += 1


def test_as_many_calls_begin_as_there_may_be() -> None:
    counted = Counted(3)
    assert [counted.calls.begin() for _ in range(5)] == [True, True, True, False, False]
    assert counted.refusals == 2


def test_each_end_makes_room_for_one() -> None:
    counted = Counted(2)
    assert [counted.calls.begin() for _ in range(3)] == [True, True, False]
    counted.end()
    assert [counted.calls.begin() for _ in range(2)] == [True, False]


def test_a_call_that_fails_ends_too() -> None:
    counted = Counted(1)

    def fail(*_arguments: Any) -> None:  # noqa: ANN401 - whatever it is called with
        raise KeyError

    assert counted.calls.begin()
    with suppress(KeyError):
        counted.calls.ending(fail)(1, 2)
    assert counted.calls.begin()


def test_a_behavior_is_called_as_it_would_be() -> None:
    counted = Counted(1)
    counted.calls.begin()
    assert counted.calls.ending(lambda *arguments: arguments)("request", "context") == ("request", "context")


def test_threads_count_together() -> None:
    counted, ready, most = Counted(5), threading.Barrier(8), 0
    inside, lock = 0, threading.Lock()

    def enter() -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        with lock:
            inside -= 1

    work = counted.calls.ending(enter)

    def run() -> int:
        ready.wait(PATIENCE)
        begun = 0
        for _ in range(500):
            if counted.calls.begin():
                begun += 1
                work()
        return begun

    with ThreadPoolExecutor(8) as threads:
        begun = sum(each.result() for each in [threads.submit(run) for _ in range(8)])
    assert begun + counted.refusals == 8 * 500
    assert most <= 5
    assert [counted.calls.begin() for _ in range(6)] == [True] * 5 + [False]


def at_most(most: int) -> dict[str, object]:
    return {"limits": {"concurrent_calls": most}}


def refuses(service: GrpcService) -> bool:
    """Whether a call is refused for the number of calls."""
    return (
        failure(lambda: service.call("LookupDeveloperIdentity"), RetryInfo).code is grpc.StatusCode.RESOURCE_EXHAUSTED
    )


@pytest.mark.parametrize("method", METHODS)
def test_calls_that_fail_make_room(method: str) -> None:
    with grpc_service(None, at_most(1)) as service:
        service.engine.failure = KeyError()
        for _ in range(3):
            assert failure(lambda: service.send_bytes(method, b"\xff")).code is grpc.StatusCode.INVALID_ARGUMENT
            with suppress(grpc.RpcError):
                service.call(method)
        service.engine.failure = None
        service.call(method)


def test_calls_that_are_taken_back_make_room() -> None:
    with grpc_service(None, at_most(3)) as service:
        for _ in range(5):
            with SilentCalls(service.address, "LookupDeveloperIdentity") as calls:
                for stream in calls.begin(3):
                    calls.cancel(stream)
            while True:  # until the server has heard of it
                with suppress(grpc.RpcError):
                    service.call("LookupDeveloperIdentity")
                    break
        assert len(service.engine.asked) == 5


def test_calls_that_are_taken_back_in_the_queue_make_room() -> None:
    with grpc_service(None, at_most(2), threads=1) as service, service.engine.holding() as hold:
        first = service.begin("LookupDeveloperIdentity")
        assert hold.entered.wait(PATIENCE)
        queued = service.begin("LookupDeveloperIdentity")
        next(watch_health(service.channel))  # what was sent before it has arrived
        assert refuses(service)
        queued.cancel()
        hold.release.set()
        first.result(PATIENCE)
        while True:
            with suppress(grpc.RpcError):
                service.call("LookupDeveloperIdentity")
                break


def test_all_listeners_count_together(tmp_path: Path) -> None:
    with (
        grpc_service(None, at_most(1), listen=["127.0.0.1:0", f"unix:{tmp_path}/s"]) as service,
        service.engine.holding() as hold,
        insecure_channel(service.server.addresses[1]) as other,
    ):
        held = service.begin("LookupDeveloperIdentity")
        assert hold.entered.wait(PATIENCE)
        request = LookupDeveloperIdentityRequest(identity_pool_id=POOL_ID, developer_user_identifier="alice")
        unary = DeveloperIdentityServiceStub(other)
        seen = failure(lambda: unary.LookupDeveloperIdentity(request, timeout=PATIENCE), RetryInfo)
        assert (seen.code, seen.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS")
        hold.release.set()
        held.result(PATIENCE)


def test_streams_take_no_place() -> None:
    with grpc_service(None, at_most(1)) as service:
        watches = [watch_health(service.channel) for _ in range(3)]
        for watch in watches:
            next(watch)
        service.call("LookupDeveloperIdentity")
