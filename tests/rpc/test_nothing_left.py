"""After any end of a call, nothing refers to it: a reference would keep its place on the connection."""

import gc
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import MappingProxyType
from weakref import WeakSet

import grpc
import pytest
from grpc._server import _RPCState
from tests.support.grpc_service import (
    METHODS,
    POOL_ID,
    TIMEOUT,
    VALID,
    GrpcService,
    failure,
    grpc_service,
    insecure_channel,
)
from tests.support.health import check_health, watch_health
from tests.support.silent_calls import SilentCalls
from tests.support.waiting import wait_until

from tokend_server.callers.keys import digest, new_key
from tokend_server.errors import EngineUnavailable
from tokend_server.rpc.server import SERVICE_NAME

GET = "GetOpenIdTokenForDeveloperIdentity"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
WATCH = "/grpc.health.v1.Health/Watch"
LIST_SERVICES = b"\x3a\x00"


def ok(service: GrpcService) -> None:
    for method in METHODS:
        service.call(method)


def ok_or_not(service: GrpcService) -> None:
    for method in METHODS:
        with suppress(grpc.RpcError):
            service.call(method)


def error(service: GrpcService) -> None:
    service.engine.failure = EngineUnavailable("The store does not answer.")
    ok_or_not(service)


def defect(service: GrpcService) -> None:
    service.engine.failure = KeyError("unforeseen")
    ok_or_not(service)


def error_referenced_by_its_own_frame(service: GrpcService) -> None:
    """As in libraries: a variable refers to the error that was raised in its function."""

    def fail() -> None:
        failure = EngineUnavailable("The store does not answer.")
        raise failure

    service.engine.act = fail
    ok_or_not(service)


def malformed(service: GrpcService) -> None:
    for method in METHODS:
        with suppress(grpc.RpcError):
            service.send_bytes(method, b"\xff")


def beyond_limits(service: GrpcService) -> None:
    for method in METHODS:
        with suppress(grpc.RpcError):
            service.send_bytes(method, b"")


def oversize(service: GrpcService) -> None:
    for method in METHODS:
        with suppress(grpc.RpcError):
            service.send_bytes(method, bytes(3_000_000))


def oversize_metadata(service: GrpcService) -> None:
    with suppress(grpc.RpcError):
        service.call(GET, metadata=[("x", "x" * 9000)])


def unknown_method(service: GrpcService) -> None:
    with suppress(grpc.RpcError):
        service.send_to("/x/y")


def no_message(service: GrpcService) -> None:
    send: Callable[..., bytes] = service.channel.stream_unary(f"/{SERVICE_NAME}/{GET}", None, None)
    with suppress(grpc.RpcError):
        send(iter([]), timeout=TIMEOUT)


def deadline_in_the_engine(service: GrpcService) -> None:
    with service.engine.holding() as hold:
        call = service.begin(GET, timeout=0.2)
        with suppress(grpc.RpcError):
            call.result()
        hold.release.set()


def deadline_in_the_queue(service: GrpcService) -> None:
    with service.engine.holding() as hold:
        first = [service.begin(GET) for _ in range(4)]
        queued = [service.begin(GET, timeout=0.2) for _ in range(10)]
        for call in queued:
            with suppress(grpc.RpcError):
                call.result()
        hold.release.set()
        for call in first:
            call.result()


def cancelled_in_the_engine(service: GrpcService) -> None:
    with service.engine.holding() as hold:
        call = service.begin(GET)
        hold.entered.wait(TIMEOUT)
        call.cancel()
        hold.release.set()


def connection_gone_in_the_engine(service: GrpcService) -> None:
    with service.engine.holding() as hold, SilentCalls(service.address, GET) as calls:
        (stream,) = calls.begin()
        calls.send(stream, VALID[GET].SerializeToString())
        hold.entered.wait(TIMEOUT)
        calls.close()
        hold.release.set()


def cancelled_before_its_message(service: GrpcService) -> None:
    with SilentCalls(service.address, GET) as calls:
        before = service.begun()
        streams = calls.begin(4)
        wait_until(lambda: service.begun() >= before + 4)
        for stream in streams:
            calls.cancel(stream)
        wait_until(lambda: not service.server._message_wait._waiting)  # noqa: SLF001 - nothing else tells


def connection_gone_before_its_message(service: GrpcService) -> None:
    with SilentCalls(service.address, GET) as calls:
        before = service.begun()
        calls.begin(4)
        wait_until(lambda: service.begun() >= before + 4)


def message_never_came(service: GrpcService) -> None:
    with SilentCalls(service.address, GET) as calls:
        streams = calls.begin(3)
        assert {calls.next_ended() for _ in streams} == set(streams)


def reflection(service: GrpcService) -> None:
    inquire: Callable[..., Iterator[bytes]] = service.channel.stream_stream(REFLECTION, None, None)
    list(inquire(iter([LIST_SERVICES]), timeout=TIMEOUT))


def malformed_reflection(service: GrpcService) -> None:
    inquire: Callable[..., Iterator[bytes]] = service.channel.stream_stream(REFLECTION, None, None)
    with suppress(grpc.RpcError):
        list(inquire(iter([b"\xff"]), timeout=TIMEOUT))


def cancelled_reflection(service: GrpcService) -> None:
    over = threading.Event()

    def requests() -> Iterator[bytes]:
        yield LIST_SERVICES
        over.wait(TIMEOUT)

    inquire: grpc.StreamStreamMultiCallable[bytes, bytes] = service.channel.stream_stream(REFLECTION, None, None)
    stream = inquire(requests(), timeout=TIMEOUT)
    next(stream)
    stream.cancel()
    over.set()


def check(service: GrpcService) -> None:
    check_health(service.channel)
    with suppress(grpc.RpcError):
        check_health(service.channel, "x")


def cancelled_watch(service: GrpcService) -> None:
    for name in ("", SERVICE_NAME, "x"):
        watch = watch_health(service.channel, name)
        next(watch)
        watch.cancel()


def connection_of_watch_gone(service: GrpcService) -> None:
    with insecure_channel(service.address) as channel:
        next(watch_health(channel))


def malformed_watch(service: GrpcService) -> None:
    watch: Callable[..., Iterator[bytes]] = service.channel.unary_stream(WATCH, None, None)
    with suppress(grpc.RpcError):
        list(watch(b"\xff", timeout=TIMEOUT))


def watch_with_deadline(service: GrpcService) -> None:
    watch: Callable[..., Iterator[bytes]] = service.channel.unary_stream(WATCH, None, None)
    with suppress(grpc.RpcError):
        list(watch(b"", timeout=0.1))


def watch_without_its_message(service: GrpcService) -> None:
    send: Callable[..., Iterator[bytes]] = service.channel.stream_stream(WATCH, None, None)
    with suppress(grpc.RpcError):
        list(send(iter([]), timeout=TIMEOUT))


ENDINGS = (
    ok,
    error,
    defect,
    error_referenced_by_its_own_frame,
    malformed,
    beyond_limits,
    oversize,
    oversize_metadata,
    unknown_method,
    no_message,
    deadline_in_the_engine,
    deadline_in_the_queue,
    cancelled_in_the_engine,
    connection_gone_in_the_engine,
    cancelled_before_its_message,
    connection_gone_before_its_message,
    message_never_came,
    reflection,
    malformed_reflection,
    cancelled_reflection,
    check,
    cancelled_watch,
    connection_of_watch_gone,
    malformed_watch,
    watch_with_deadline,
    watch_without_its_message,
)


@pytest.fixture
def live_calls(monkeypatch: pytest.MonkeyPatch) -> "WeakSet[_RPCState]":
    """The states of calls started from now on, as long as something refers to them."""
    live: WeakSet[_RPCState] = WeakSet()
    init = _RPCState.__init__

    def register(state: _RPCState) -> None:
        init(state)  # type: ignore[no-untyped-call] # the library has no types
        live.add(state)

    monkeypatch.setattr(_RPCState, "__init__", register)
    return live


@contextmanager
def without_collector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("end", ENDINGS, ids=lambda end: end.__name__)
def test_no_reference_to_an_ended_call_is_left(
    end: Callable[[GrpcService], None], live_calls: "WeakSet[_RPCState]"
) -> None:
    with grpc_service(message_timeout_seconds=0.5) as service:
        service.call(GET)  # the connection exists
        with without_collector():
            live_calls.clear()
            for _ in range(3):
                end(service)
            wait_until(lambda: not live_calls)


KEY = new_key(b"a".__mul__)

_POLICY = {"row": {"callers": ["key:other"], "pools": [POOL_ID], "operations": ["LookupDeveloperIdentity"]}}

#: Settings with which calls are rejected before their messages are awaited.
REFUSING: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "not authenticated": {"callers": {"keys": {"a": [digest(new_key(b"b".__mul__))]}}},
        "not allowed": {"callers": {"keys": {"a": [digest(KEY)]}}},
        "too often": {
            "callers": {"keys": {"a": [digest(KEY)]}},
            "limits": {"calls_per_second": 1, "calls_burst": 1},
        },
    }
)


@pytest.mark.parametrize("why", REFUSING)
def test_no_reference_to_a_refused_call_is_left(why: str, live_calls: "WeakSet[_RPCState]") -> None:
    metadata = [("authorization", f"Bearer {KEY.reveal()}")]
    with grpc_service(None, {"policy": _POLICY, **REFUSING[why]}, identify_by=["bearer_key"]) as service:
        failure(lambda: service.call(GET))
        with without_collector():
            live_calls.clear()
            for method in METHODS * 3:
                with pytest.raises(grpc.RpcError):
                    service.call(method, metadata=metadata)
            wait_until(lambda: not live_calls)


def test_no_reference_to_calls_above_the_concurrency_limit_is_left(live_calls: "WeakSet[_RPCState]") -> None:
    with grpc_service(None, {"limits": {"concurrent_calls": 1}}) as service, service.engine.holding() as hold:
        first = service.begin(GET)
        assert hold.entered.wait(TIMEOUT)
        with without_collector():
            live_calls.clear()
            for method in METHODS * 3:
                with pytest.raises(grpc.RpcError):
                    service.call(method)
            wait_until(lambda: not live_calls)
        hold.release.set()
        first.result(TIMEOUT)
