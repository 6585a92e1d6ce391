"""Every method of every service, by its path, with a client call."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from tests.access.guarded_service import Metadata
from tests.support.grpc_service import TIMEOUT

from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub

_SERVICE = "/tokend.v1.DeveloperIdentityService/"
GET = f"{_SERVICE}GetOpenIdTokenForDeveloperIdentity"
LOOKUP = f"{_SERVICE}LookupDeveloperIdentity"
MERGE = f"{_SERVICE}MergeDeveloperIdentities"
UNLINK = f"{_SERVICE}UnlinkDeveloperIdentity"
CHECK = "/grpc.health.v1.Health/Check"
LIST = "/grpc.health.v1.Health/List"
WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

_Call = Callable[[grpc.Channel, Message, Metadata], Any]


def call(path: str, channel: grpc.Channel, request: Message, metadata: Metadata) -> Any:  # noqa: ANN401 - any response
    """Calls the method of a path, and returns its first response."""
    return _CALLS[path](channel, request, metadata)


def _unary(stub: Callable[[grpc.Channel], object], path: str) -> _Call:
    def unary(channel: grpc.Channel, request: Message, metadata: Metadata) -> Any:  # noqa: ANN401 - any response
        return _method(stub, path, channel)(request, metadata=metadata, timeout=TIMEOUT)

    return unary


def _server_stream(stub: Callable[[grpc.Channel], object], path: str) -> _Call:
    def server_stream(channel: grpc.Channel, request: Message, metadata: Metadata) -> Any:  # noqa: ANN401 - any response
        with _ending(_method(stub, path, channel)(request, metadata=metadata, timeout=TIMEOUT)) as responses:
            return next(responses)

    return server_stream


def _bidi_stream(stub: Callable[[grpc.Channel], object], path: str) -> _Call:
    def bidi_stream(channel: grpc.Channel, request: Message, metadata: Metadata) -> Any:  # noqa: ANN401 - any response
        with _ending(_method(stub, path, channel)(iter([request]), metadata=metadata, timeout=TIMEOUT)) as responses:
            return next(responses)

    return bidi_stream


def _method(stub: Callable[[grpc.Channel], object], path: str, channel: grpc.Channel) -> Callable[..., Any]:
    method: Callable[..., Any] = getattr(stub(channel), path.rpartition("/")[2])
    return method


@contextmanager
def _ending(stream: Any) -> Iterator[Any]:  # noqa: ANN401 - a call and an iterator, as grpc makes it
    try:
        yield stream
    finally:
        stream.cancel()


_ours = partial(_unary, DeveloperIdentityServiceStub)

_CALLS: Mapping[str, _Call] = {
    **{path: _ours(path) for path in (GET, LOOKUP, MERGE, UNLINK)},
    CHECK: _unary(HealthStub, CHECK),
    LIST: _unary(HealthStub, LIST),
    WATCH: _server_stream(HealthStub, WATCH),
    REFLECTION: _bidi_stream(ServerReflectionStub, REFLECTION),
}

METHODS = tuple(_CALLS)
