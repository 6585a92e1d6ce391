"""Times in the metrics are correct, by a clock that the measured work advances."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from tests.fakes.clock import FakeClock
from tests.support.grpc_service import METHODS, TIMEOUT, grpc_service
from tests.support.health import watch_health

from tokend_server.aws_json.calls import UNKNOWN_OPERATION, Calls
from tokend_server.aws_json.errors import AwsError
from tokend_server.aws_json.request import AwsRequest
from tokend_server.engines.local.stores.observed import ObservedStore
from tokend_server.engines.observed import ObservedEngine, Series
from tokend_server.engines.public import ObservedPublicEngine
from tokend_server.errors import EngineUnavailable
from tokend_server.mesh.async_calls import wrapping_calls
from tokend_server.metrics import Metrics
from tokend_server.rpc.interceptors.layers import Method
from tokend_server.rpc.interceptors.metrics import Recorder

SECONDS = 3.0


class Slow:
    """Advances the clock on every use, and then fails."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def __getattr__(self, _name: str) -> Callable[..., Any]:
        def act(*_arguments: object, **_named: object) -> None:
            self._clock.advance(SECONDS)
            raise EngineUnavailable("The store does not answer.")

        return act


def operations(of: type) -> list[str]:
    return [name for name in vars(of) if not name.startswith("_")]


def call(subject: object, name: str) -> None:
    """Calls a method with None for each required argument."""
    method = getattr(subject, name)
    parameters = inspect.signature(method).parameters.values()
    needed = [each for each in parameters if each.default is each.empty and each.kind is not each.VAR_POSITIONAL]
    with pytest.raises(EngineUnavailable):
        method(
            *(None for each in needed if each.kind is each.POSITIONAL_OR_KEYWORD),
            **{each.name: None for each in needed if each.kind is each.KEYWORD_ONLY},
        )


def sums(registry: CollectorRegistry, name: str, label: str) -> dict[str, float]:
    """Returns the seconds in a histogram with measurements, by one of its labels."""
    return {
        sample.labels[label]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == f"{name}_sum" and sample.value
    }


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


@pytest.mark.parametrize("operation", operations(ObservedStore))
def test_the_time_of_a_store_operation_is_measured(operation: str, clock: FakeClock, metrics: Metrics) -> None:
    call(ObservedStore(cast("Any", Slow(clock)), metrics, clock), operation)
    assert sums(metrics.registry, "tokend_store_seconds", "operation") == {operation: SECONDS}


@pytest.mark.parametrize(
    ("of", "operation"),
    [(of, operation) for of in (ObservedEngine, ObservedPublicEngine) for operation in operations(of)],
)
def test_the_time_of_an_engine_operation_is_measured(
    of: type, operation: str, clock: FakeClock, metrics: Metrics
) -> None:
    call(of(Slow(clock), Series("local", "other", metrics), clock), operation)
    assert list(sums(metrics.registry, "tokend_engine_seconds", "operation").values()) == [SECONDS]


@pytest.mark.parametrize("method", METHODS)
def test_the_time_of_a_grpc_call_is_measured(method: str, clock: FakeClock) -> None:
    with grpc_service(clock) as service:
        service.engine.act = lambda: clock.advance(SECONDS)
        service.call(method)
        assert sums(service.registry, "grpc_server_handling_seconds", "grpc_method") == {method: SECONDS}


def test_the_time_of_a_stream_is_measured_until_its_cancellation(clock: FakeClock) -> None:
    with grpc_service(clock) as service:
        watch = watch_health(service.channel)
        next(watch)
        clock.advance(SECONDS)
        watch.cancel()
        service.server.stop(TIMEOUT)  # it waits for the calls in flight
        assert sums(service.registry, "grpc_server_handling_seconds", "grpc_method") == {"Watch": SECONDS}


def test_the_time_of_an_sds_call_is_measured(clock: FakeClock, metrics: Metrics) -> None:
    async def serve(_request: object, _context: object) -> str:
        clock.advance(SECONDS)
        return "answer"

    class Context:
        def cancelled(self) -> bool:
            return False

        def code(self) -> None:
            """None was set."""

    around = wrapping_calls(lambda method: Recorder(method, metrics), clock, str)
    answered = around(Method("sds", "FetchSecrets", "unary"), serve)
    assert asyncio.run(cast("Any", answered(None, Context()))) == "answer"
    assert sums(metrics.registry, "grpc_server_handling_seconds", "grpc_method") == {"FetchSecrets": SECONDS}


def test_the_time_of_an_aws_json_call_is_measured(clock: FakeClock) -> None:
    class Service:
        def operation_of(self, _request: AwsRequest) -> None:
            clock.advance(SECONDS)
            raise AwsError("UnknownOperationException", "There is no such operation.")

        def error_response(self, *_: object) -> None:
            """Is never read."""

    counted: list[tuple[str, str, float]] = []
    calls = Calls(cast("Any", Service()), clock, count=lambda *values: counted.append(values))
    calls.answer(cast("AwsRequest", None))
    assert counted == [(UNKNOWN_OPERATION, "UnknownOperationException", SECONDS)]
