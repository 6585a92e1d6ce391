"""Streams: their limit, and that an idle one does not block others."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from tests.attacks import http2
from tests.support.grpc_service import METHODS, TIMEOUT, VALID, GrpcService, failure, grpc_service, insecure_channel
from tests.support.health import NOT_SERVING, SERVING, check_health, wait_for, watch_health
from tests.support.silent_calls import SilentCalls

from tokend_server.rpc import threads, worker_pool
from tokend_server.rpc.grpc_internals import ended_by
from tokend_server.rpc.interceptors.metrics import code_label
from tokend_server.rpc.server import SERVICE_NAME

HEALTH_WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
CODES = [*map(code_label, grpc.StatusCode)]
LIST_SERVICES = b"\x3a\x00"


def refused(service: GrpcService, limit: str) -> float | None:
    return service.registry.get_sample_value("tokend_calls_refused_total", {"limit": limit})


def refused_watch(channel: grpc.Channel) -> bool:
    seen = failure(lambda: next(watch_health(channel)), RetryInfo)
    return (seen.code, seen.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS")


def test_callers_with_their_share_of_watches_get_no_more() -> None:
    with (
        grpc_service(max_connections=4) as service,
        insecure_channel(service.address) as other,
        insecure_channel(service.address) as third,
    ):
        ours = [watch_health(service.channel) for _ in range(4)]
        for watch in ours:
            next(watch)
        assert refused_watch(service.channel)
        theirs = watch_health(other)
        next(theirs)
        next(watch_health(third))
        assert refused_watch(service.channel)
        for watch in ours:
            watch.cancel()
        while True:  # until the server has processed the cancellations
            with suppress(grpc.RpcError):
                next(watch_health(service.channel))
                break


def test_watches_of_unknown_services_leave_no_state(service: GrpcService) -> None:
    for number in range(20):
        watch = watch_health(service.channel, f"name-{number}")
        next(watch)
        watch.cancel()
    health = service.server._health  # noqa: SLF001 - nothing else tells
    while health._watches:  # noqa: SLF001 - as above
        threading.Event().wait(0.01)
    assert not health._watches_of  # noqa: SLF001 - as above


@pytest.mark.parametrize("path", [HEALTH_WATCH, REFLECTION])
def test_streams_without_a_message_do_not_block_others(path: str) -> None:
    with grpc_service(message_timeout_seconds=3600) as service, SilentCalls(service.address, path) as silent:
        silent.begin(30)
        while not service.begun():
            threading.Event().wait(0.01)
        service.server.set_serving(True)
        wait_for(watch_health(service.channel), SERVING)
        assert check_health(service.channel) == SERVING
        assert len(reflected(service.channel, [LIST_SERVICES])) == 1
        service.call("LookupDeveloperIdentity")


def reflected(channel: grpc.Channel, requests: list[bytes]) -> list[bytes]:
    inquire: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(REFLECTION, None, None)
    return list(inquire(iter(requests), timeout=TIMEOUT))


def test_watches_that_read_no_responses_do_not_block_others(service: GrpcService) -> None:
    with SilentCalls(service.address, HEALTH_WATCH, (http2.INITIAL_WINDOW_SIZE, 0)) as stalled:
        for stream in stalled.begin(30):
            stalled.send(stream, b"")
        watch = watch_health(service.channel)
        for serving, status in ((True, SERVING), (False, NOT_SERVING), (True, SERVING)):
            service.server.set_serving(serving)  # it does not wait for them either
            wait_for(watch, status)
        service.call("LookupDeveloperIdentity")


def test_open_reflection_streams_do_not_block_others() -> None:
    over = threading.Event()

    def requests() -> Iterator[bytes]:
        yield LIST_SERVICES
        over.wait(TIMEOUT)

    with grpc_service(message_timeout_seconds=3600) as service, ExitStack() as channels:
        streams = []
        for _ in range(3):
            channel = channels.enter_context(insecure_channel(service.address))
            inquire: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(REFLECTION, None, None)
            streams += [inquire(requests(), timeout=TIMEOUT) for _ in range(20)]
        for _ in range(3):
            assert len(reflected(service.channel, [LIST_SERVICES] * 3)) == 3
        over.set()
        for stream in streams:
            stream.cancel()


@pytest.mark.parametrize("most_refusals", [0, 1000])
def test_more_reflection_streams_than_may_wait_are_refused(monkeypatch: pytest.MonkeyPatch, most_refusals: int) -> None:
    """They do not count as calls of the contract, which the SLO covers."""
    monkeypatch.setattr(worker_pool, "_MAX_REFUSALS", most_refusals)
    monkeypatch.setattr(threads, "_MAX_STREAMS", 4)
    monkeypatch.setattr(threads, "_STREAM_THREADS", 1)
    over, asked = threading.Event(), threading.Event()

    def requests() -> Iterator[bytes]:
        yield LIST_SERVICES
        asked.set()
        over.wait(TIMEOUT)

    with grpc_service(message_timeout_seconds=3600) as service:
        inquire: grpc.StreamStreamMultiCallable[bytes, bytes] = service.channel.stream_stream(REFLECTION, None, None)
        streams = [inquire(requests(), timeout=TIMEOUT) for _ in range(4)]
        for stream in streams:
            next(stream)
        seen = failure(lambda: reflected(service.channel, [LIST_SERVICES]), RetryInfo)
        assert (seen.code, seen.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS")
        assert [refused(service, limit) for limit in ("other_calls", "server_calls")] == [1, 0]
        over.set()
        for stream in streams:
            stream.cancel()


def test_silent_streams_of_reflection_end() -> None:
    with grpc_service(message_timeout_seconds=0.3) as service, SilentCalls(service.address, REFLECTION) as silent:
        streams = silent.begin(5)
        assert {silent.next_ended() for _ in streams} == set(streams)


@pytest.mark.usefixtures("no_spare_threads")
@pytest.mark.parametrize("method", METHODS)
def test_calls_that_end_while_they_wait_give_their_places_up_at_once(method: str) -> None:
    """All threads are busy meanwhile; an ended call must not keep its stream and its place in the queue."""
    sections = {"limits": {"concurrent_calls": 6}}
    with (
        grpc_service(None, sections, threads=1, max_concurrent_streams=8) as service,
        service.engine.holding() as hold,
    ):
        first = service.begin(method)
        assert hold.entered.wait(TIMEOUT)
        for number in range(1, 11):
            ended = [service.begin(method, timeout=TIMEOUT) for _ in range(5)]
            next(watch_health(service.channel))  # what was sent before it has arrived
            for call in ended:
                call.cancel()
            while cancelled(service, method) < 5 * number:
                threading.Event().wait(0.01)
        queued = [service.begin(method) for _ in range(5)]
        hold.release.set()
        for call in (first, *queued):
            call.result(TIMEOUT)
        assert len(service.engine.asked) == 6
        assert cancelled(service, method) == 50


def cancelled(service: GrpcService, method: str) -> int:
    labels = {"grpc_type": "unary", "grpc_service": SERVICE_NAME, "grpc_method": method, "grpc_code": "Canceled"}
    return int(service.registry.get_sample_value("grpc_server_handled_total", labels) or 0)


@pytest.mark.usefixtures("no_spare_threads")
def test_a_deadline_that_passes_in_the_queue_is_counted_as_such() -> None:
    labels = {
        "grpc_type": "unary",
        "grpc_service": SERVICE_NAME,
        "grpc_method": "LookupDeveloperIdentity",
        "grpc_code": "DeadlineExceeded",
    }
    with (
        grpc_service(threads=1) as service,
        service.engine.holding() as hold,
        SilentCalls(service.address, "LookupDeveloperIdentity", metadata=[("grpc-timeout", "100m")]) as calls,
    ):
        first = service.begin("UnlinkDeveloperIdentity")
        assert hold.entered.wait(TIMEOUT)
        for stream in calls.begin(3):
            calls.send(stream, VALID["LookupDeveloperIdentity"].SerializeToString())
        while service.registry.get_sample_value("grpc_server_handled_total", labels) != 3:
            threading.Event().wait(0.01)
        hold.release.set()
        first.result(TIMEOUT)
        assert len(service.engine.asked) == 1


def test_a_watch_that_its_deadline_ends_is_counted_as_such() -> None:
    metadata = [("grpc-timeout", "100m")]
    with grpc_service() as service, SilentCalls(service.address, HEALTH_WATCH, metadata=metadata) as calls:
        for stream in calls.begin(3):
            calls.send(stream, b"")  # this client does not cancel calls at their deadline
        while sum((ends := ended(service)).values()) < 3:
            threading.Event().wait(0.01)
        assert ends == {"DeadlineExceeded": 3}


@pytest.mark.parametrize(
    ("left", "code"),
    [
        (0.0, grpc.StatusCode.DEADLINE_EXCEEDED),
        (0.01, grpc.StatusCode.DEADLINE_EXCEEDED),
        (0.1, grpc.StatusCode.CANCELLED),
    ],
)
def test_a_call_ended_shortly_before_its_deadline_is_deadline_exceeded(left: float, code: grpc.StatusCode) -> None:
    assert ended_by(left) is code


def ended(service: GrpcService) -> dict[str, float]:
    """Returns how many watches have ended, by their codes."""
    labels = {"grpc_type": "server_stream", "grpc_service": "grpc.health.v1.Health", "grpc_method": "Watch"}
    name = "grpc_server_handled_total"
    counted = {code: service.registry.get_sample_value(name, {**labels, "grpc_code": code}) for code in CODES}
    return {code: count for code, count in counted.items() if count}


def test_refusals_above_max_refusals_have_the_same_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "_MAX_REFUSALS", 0)
    with grpc_service(None, {"limits": {"concurrent_calls": 1}}) as service, service.engine.holding() as hold:
        first = service.begin("LookupDeveloperIdentity")
        assert hold.entered.wait(TIMEOUT)
        for method in METHODS:
            seen = failure(lambda method=method: service.call(method), RetryInfo)  # type: ignore[misc] # mypy cannot tell
            assert (seen.code, seen.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS")
        hold.release.set()
        first.result(TIMEOUT)
        assert refused(service, "server_calls") == len(METHODS)
