"""A client of grpc.health.v1."""

from collections.abc import Iterator
from typing import Protocol

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from tests.support.grpc_service import PATIENCE

SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING


class Watch(Protocol):
    """A watch under way: each answer is waited for."""

    def __iter__(self) -> Iterator[HealthCheckResponse]: ...

    def __next__(self) -> HealthCheckResponse: ...

    def cancel(self) -> bool: ...


def check_health(channel: grpc.Channel, service: str = "") -> int:
    """Asks once for the health of a service."""
    check: grpc.UnaryUnaryMultiCallable[HealthCheckRequest, HealthCheckResponse] = channel.unary_unary(
        "/grpc.health.v1.Health/Check", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
    )
    return check(HealthCheckRequest(service=service), timeout=PATIENCE).status


def watch_health(channel: grpc.Channel, service: str = "") -> Watch:
    """Begins to watch the health of a service."""
    watch: grpc.UnaryStreamMultiCallable[HealthCheckRequest, HealthCheckResponse] = channel.unary_stream(
        "/grpc.health.v1.Health/Watch", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
    )
    return watch(HealthCheckRequest(service=service), timeout=PATIENCE)


def wait_for(watch: Watch, status: int) -> None:
    """Reads on until the watch tells a status."""
    while next(watch).status != status:
        pass
