"""The limits of each caller on the wire: the rejections, and the shares of replicas."""

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from tests.fakes.clock import FakeClock
from tests.support.grpc_service import METHODS, TIMEOUT, Failure, GrpcService, failure, grpc_service

from tokend_server.callers import keys

if TYPE_CHECKING:
    from google.protobuf.message import Message

LOOKUP = "LookupDeveloperIdentity"
TOO_OFTEN = {"calls_per_second": 0.5, "calls_burst": 1}
POLICY = {"everybody": {"callers": ["**"], "pools": ["*"], "operations": ["*"]}}
KEY = keys.new_key(lambda count: b"a" * count)


@contextmanager
def keyed_service(limits: Mapping[str, object], **settings: object) -> Iterator[GrpcService]:
    sections = {"callers": {"keys": {"checkout": [keys.digest(KEY)]}}, "policy": POLICY, "limits": limits}
    # A stopped clock would never end a pause.
    unpaused = {"identify_by": ["bearer_key"], "pause_after_refusal_seconds": 0, **settings}
    with grpc_service(FakeClock(), sections, **unpaused) as service:
        yield service


AUTHORIZATION = ("authorization", f"Bearer {KEY.reveal()}")


def admitted(service: GrpcService) -> int:
    """Returns how many concurrent calls of one caller are accepted until one is rejected."""
    count = 0
    with suppress(grpc.RpcError):
        while True:
            service.call(LOOKUP, metadata=[AUTHORIZATION])
            count += 1
    return count


@pytest.mark.parametrize(
    ("limits", "burst"),
    [
        ({"calls_burst": 12}, 12),
        ({"calls_burst": 12, "replicas": 4}, 3),
        ({"calls_burst": 11, "replicas": 4}, 2),
        ({"calls_burst": 3, "replicas": 4}, 1),
        ({"calls_burst": 1, "replicas": 4, "callers": {"key:*": {"calls_burst": 8}}}, 2),
    ],
)
def test_a_replica_admits_its_part_of_a_burst(limits: Mapping[str, object], burst: int) -> None:
    with keyed_service({"calls_per_second": 0.4, **limits}) as service:
        assert admitted(service) == burst


def test_a_replica_admits_its_part_of_a_rate() -> None:
    with keyed_service({**TOO_OFTEN, "calls_per_second": 2, "replicas": 4}) as service:
        service.call(LOOKUP, metadata=[AUTHORIZATION])
        seen = failure(lambda: service.call(LOOKUP, metadata=[AUTHORIZATION]), RetryInfo)
        too_many(seen, "Too many calls of this caller.", 2000)


def refused(service: GrpcService, limit: str) -> float:
    return service.registry.get_sample_value("tokend_calls_refused_total", {"limit": limit}) or 0.0


def too_many(seen: Failure, text: str, milliseconds: int) -> None:
    """Checks a rejection on the wire: details, and the trailer for gRPC's retry policy."""
    assert (seen.code, seen.text) == (grpc.StatusCode.RESOURCE_EXHAUSTED, text)
    info, retry = seen.details
    code = {"aws_error_code": "TooManyRequestsException"}
    assert info == ErrorInfo(reason="TOO_MANY_REQUESTS", domain="tokend", metadata=code)
    assert isinstance(retry, RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == milliseconds
    assert seen.trailers["grpc-retry-pushback-ms"] == str(milliseconds)


def test_a_caller_above_its_rate_gets_a_retry_delay() -> None:
    with keyed_service(TOO_OFTEN) as service:
        service.call(LOOKUP, metadata=[AUTHORIZATION])
        seen = failure(lambda: service.call(LOOKUP, metadata=[AUTHORIZATION]), RetryInfo)
        too_many(seen, "Too many calls of this caller.", 2000)
        assert (refused(service, "calls"), len(service.engine.asked)) == (1, 1)


def test_calls_of_a_caller_beyond_its_limits_write_no_warnings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with keyed_service(TOO_OFTEN) as service:
        service.call(LOOKUP, metadata=[AUTHORIZATION])
        for _ in range(5):
            failure(lambda: service.call(LOOKUP, metadata=[AUTHORIZATION]), RetryInfo)
        assert refused(service, "calls") == 5
    assert [record.getMessage() for record in caplog.records] == []


def test_a_caller_with_too_many_calls_at_once_is_refused() -> None:
    with (
        keyed_service({"concurrent_calls_of_caller": 1}) as service,
        ThreadPoolExecutor(1) as caller,
        service.engine.holding() as hold,
    ):
        first = caller.submit(service.call, LOOKUP, metadata=[AUTHORIZATION])
        assert hold.entered.wait(TIMEOUT)
        seen = failure(lambda: service.call(LOOKUP, metadata=[AUTHORIZATION]), RetryInfo)
        too_many(seen, "Too many calls of this caller at once.", 1000)
        hold.release.set()
        first.result()
        service.call(LOOKUP, metadata=[AUTHORIZATION])
        assert refused(service, "concurrent_calls") == 1


@pytest.mark.parametrize("method", METHODS)
def test_calls_above_the_concurrency_limit_are_refused_without_a_free_thread(method: str) -> None:
    with grpc_service(None, {"limits": {"concurrent_calls": 2}}, threads=1) as service:
        done: SimpleQueue[grpc.Future[Message]] = SimpleQueue()
        with service.engine.holding():
            # One runs and one waits for the only thread; the rejection of the third needs no thread.
            calls = [service.begin(method) for _ in range(3)]
            for each in calls:
                each.add_done_callback(done.put)
            too_many(failure(done.get(timeout=TIMEOUT).result, RetryInfo), "Too many calls at once.", 500)
            assert refused(service, "server_calls") == 1
        for _ in range(2):
            done.get(timeout=TIMEOUT).result()
        service.call(method)
        assert len(service.engine.asked) == 3
