"""The metrics of calls: those of go-grpc-middleware, initialized at start, and only for existing methods."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import grpc
import pytest
from google.rpc.error_details_pb2 import RequestInfo, ResourceInfo, RetryInfo
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from prometheus_client import CollectorRegistry
from tests.support import raw_http2
from tests.support.grpc_service import METHODS, TIMEOUT, GrpcService, failure, grpc_service
from tests.support.health import check_health, watch_health

from tokend_server import errors
from tokend_server.rpc.interceptors.metrics import code_label

SERVICE = "tokend.v1.DeveloperIdentityService"
HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"

#: The code labels of go-grpc-middleware, by number.
LABELS = (
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
)

#: The type, service and method of all counted calls.
ALL_METHODS = {
    *(("unary", SERVICE, method) for method in METHODS),
    ("unary", HEALTH, "Check"),
    ("unary", HEALTH, "List"),
    ("server_stream", HEALTH, "Watch"),
    ("bidi_stream", REFLECTION, "ServerReflectionInfo"),
    ("unary", "unknown", "unknown"),
}

#: An exception of the engine for each code that an engine's call can end with.
FAILURES: Mapping[str, Exception | None] = MappingProxyType(
    {
        "OK": None,
        "InvalidArgument": errors.InvalidParameter("text"),
        "DeadlineExceeded": errors.DeadlineExceeded(),
        "NotFound": errors.ResourceNotFound.developer_user(),
        "AlreadyExists": errors.DeveloperUserAlreadyRegistered("text"),
        "PermissionDenied": errors.NotAuthorized("text"),
        "ResourceExhausted": errors.TooManyRequests("text"),
        "FailedPrecondition": errors.ResourceConflict("text"),
        "Unimplemented": errors.UnsupportedByEngine("text"),
        "Internal": ValueError("text"),
        "Unavailable": errors.EngineUnavailable("text"),
        "Unauthenticated": errors.CallerUnauthenticated("text"),
    }
)

ODD_PATHS = (
    "/x/y",
    "//x",
    "//",
    "/",
    "x",
    "x/y",
    "*",
    "/%47et",
    "/a.b/C?x=1",
    "/a/b/c",
    f"/{SERVICE}",
    f"/{SERVICE}/",
    f"/{SERVICE}/{METHODS[0]}/",
    f"/{SERVICE}/{METHODS[0]}?x=1",
    f"/{SERVICE}/{METHODS[0].lower()}",
    f"/{SERVICE}//{METHODS[0]}",
    f"{SERVICE}/{METHODS[0]}",
    "/unknown/unknown",
    "/" + "x" * 2000,
)


DETAILS = (RequestInfo, ResourceInfo, RetryInfo)


def all_samples(registry: CollectorRegistry) -> Iterator[object]:
    return (sample for metric in registry.collect() for sample in metric.samples)


def series(registry: CollectorRegistry, name: str) -> dict[tuple[str, ...], float]:
    """The values of a metric by its labels: type, service and method, and the code if there is one."""
    names = ("grpc_type", "grpc_service", "grpc_method", "grpc_code")
    return {
        tuple(sample.labels[label] for label in names if label in sample.labels): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == name
    }


def counted(registry: CollectorRegistry, name: str) -> dict[tuple[str, ...], float]:
    """Returns all counts."""
    return {labels: value for labels, value in series(registry, name).items() if value}


def reflection_call(
    service: GrpcService, requests: Iterator[ServerReflectionRequest]
) -> Iterator[ServerReflectionResponse]:
    call: grpc.StreamStreamMultiCallable[ServerReflectionRequest, ServerReflectionResponse] = (
        service.channel.stream_stream(
            f"/{REFLECTION}/ServerReflectionInfo",
            ServerReflectionRequest.SerializeToString,
            ServerReflectionResponse.FromString,
        )
    )
    return call(requests, timeout=TIMEOUT)


def counted_after(action: Callable[[GrpcService], object]) -> dict[tuple[str, ...], float]:
    """Returns which calls have ended with which code, once the server has seen their end."""
    with grpc_service() as service:
        action(service)
        service.server.stop(0)
        handled = counted(service.registry, "grpc_server_handled_total")
        started = counted(service.registry, "grpc_server_started_total")
    ended: dict[tuple[str, ...], float] = {}
    for labels, value in handled.items():
        ended[labels[:3]] = ended.get(labels[:3], 0) + value
    assert started == ended
    return handled


def test_every_method_has_series_of_every_code_from_the_start(service: GrpcService) -> None:
    expected = {(*method, label): 0.0 for method in ALL_METHODS for label in LABELS}
    assert series(service.registry, "grpc_server_handled_total") == expected
    for name in ("grpc_server_started_total", "grpc_server_handling_seconds_count"):
        assert series(service.registry, name) == dict.fromkeys(ALL_METHODS, 0.0)


def test_without_reflection_there_are_no_series_of_it() -> None:
    with grpc_service(reflection=False) as service:
        started = series(service.registry, "grpc_server_started_total")
        assert started.keys() == {method for method in ALL_METHODS if method[1] != REFLECTION}


def test_codes_have_the_names_of_go_grpc_middleware() -> None:
    by_number = sorted(grpc.StatusCode, key=lambda code: int(code.value[0]))
    assert tuple(code_label(code) for code in by_number) == LABELS


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("label", FAILURES)
def test_a_call_is_counted_under_its_code(method: str, label: str, service: GrpcService) -> None:
    service.engine.failure = FAILURES[label]
    if service.engine.failure is None:
        service.call(method)
    else:
        failure(lambda: service.call(method), *DETAILS)
    called = ("unary", SERVICE, method)
    assert counted(service.registry, "grpc_server_handled_total") == {(*called, label): 1}
    for name in ("grpc_server_started_total", "grpc_server_handling_seconds_count"):
        assert counted(service.registry, name) == {called: 1}


def test_a_request_that_does_not_get_past_the_checks_is_counted(service: GrpcService) -> None:
    failure(lambda: service.send_bytes(METHODS[0], b"\xff"))
    failure(lambda: service.send_bytes(METHODS[0], b""))
    raw_http2.call(service.address, f"/{SERVICE}/{METHODS[0]}", b"", [("x-pad", "v" * 8192)])
    assert counted(service.registry, "grpc_server_handled_total") == {
        ("unary", SERVICE, METHODS[0], "InvalidArgument"): 2,
        ("unary", SERVICE, METHODS[0], "ResourceExhausted"): 1,
    }


@pytest.mark.parametrize("path", ODD_PATHS)
def test_a_method_that_does_not_exist_is_counted_as_unknown(path: str, service: GrpcService) -> None:
    before = len(list(all_samples(service.registry)))
    ending = raw_http2.call(service.address, path, b"", [])
    assert ending.fields[b"grpc-status"] == b"12"
    assert counted(service.registry, "grpc_server_handled_total") == {
        ("unary", "unknown", "unknown", "Unimplemented"): 1
    }
    assert counted(service.registry, "grpc_server_started_total") == {("unary", "unknown", "unknown"): 1}
    assert len(list(all_samples(service.registry))) == before


def test_an_empty_path_makes_no_series(service: GrpcService) -> None:
    before = len(list(all_samples(service.registry)))
    raw_http2.call(service.address, "", b"", [])  # rejected by gRPC itself
    assert len(list(all_samples(service.registry))) == before


def test_health_checks_are_counted() -> None:
    def check(service: GrpcService) -> None:
        check_health(service.channel)
        failure(lambda: check_health(service.channel, "x"))

    assert counted_after(check) == {("unary", HEALTH, "Check", "OK"): 1, ("unary", HEALTH, "Check", "NotFound"): 1}


def test_a_health_watch_is_counted_when_it_ends() -> None:
    def watch(service: GrpcService) -> None:
        watching = watch_health(service.channel)
        next(watching)
        assert counted(service.registry, "grpc_server_started_total") == {("server_stream", HEALTH, "Watch"): 1}
        assert counted(service.registry, "grpc_server_handled_total") == {}
        watching.cancel()

    assert counted_after(watch) == {("server_stream", HEALTH, "Watch", "Canceled"): 1}


def test_reflection_is_counted() -> None:
    def reflect(service: GrpcService) -> None:
        requests = iter([ServerReflectionRequest(list_services="")] * 2)
        assert len(list(reflection_call(service, requests))) == 2

    assert counted_after(reflect) == {("bidi_stream", REFLECTION, "ServerReflectionInfo", "OK"): 1}
