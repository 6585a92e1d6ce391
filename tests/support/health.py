"""A client of grpc.health.v1."""

from collections.abc import Iterator
from typing import Protocol

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from tests.support.grpc_service import TIMEOUT

SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING


class Watch(Protocol):
    """A running watch. Each response is awaited."""

    def __iter__(self) -> Iterator[HealthCheckResponse]: ...

    def __next__(self) -> HealthCheckResponse: ...

    def cancel(self) -> bool: ...


def check_health(channel: grpc.Channel, service: str = "") -> int:
    """Checks the health of a service once."""
    check: grpc.UnaryUnaryMultiCallable[HealthCheckRequest, HealthCheckResponse] = channel.unary_unary(
        "/grpc.health.v1.Health/Check", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
    )
    return check(HealthCheckRequest(service=service), timeout=TIMEOUT).status


def watch_health(channel: grpc.Channel, service: str = "") -> Watch:
    """Starts a watch of the health of a service."""
    watch: grpc.UnaryStreamMultiCallable[HealthCheckRequest, HealthCheckResponse] = channel.unary_stream(
        "/grpc.health.v1.Health/Watch", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
    )
    return watch(HealthCheckRequest(service=service), timeout=TIMEOUT)


def wait_for(watch: Watch, status: int) -> None:
    """Reads until the watch reports a status."""
    while next(watch).status != status:
        pass
