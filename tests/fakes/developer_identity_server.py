"""A DeveloperIdentityService over real gRPC that records requests and returns responses set by a test."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NoReturn, TypeVar

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from tokend.v1.developer_identity_service_pb2 import (
    GetOpenIdTokenForDeveloperIdentityRequest,
    GetOpenIdTokenForDeveloperIdentityResponse,
    LookupDeveloperIdentityRequest,
    LookupDeveloperIdentityResponse,
    MergeDeveloperIdentitiesRequest,
    MergeDeveloperIdentitiesResponse,
    UnlinkDeveloperIdentityRequest,
    UnlinkDeveloperIdentityResponse,
)
from tokend.v1.developer_identity_service_pb2_grpc import (
    DeveloperIdentityServiceServicer,
    add_DeveloperIdentityServiceServicer_to_server,
)

_Response = TypeVar("_Response", bound=Message)


class FakeDeveloperIdentityService(DeveloperIdentityServiceServicer):
    """Responds to every call with one response of the method's type, or with a failure.

    Attributes:
        endpoint: Its address.
        requests: The received requests, in order.
        times_remaining: The remaining seconds of each call's deadline, in order.
    """

    def __init__(self) -> None:
        self.endpoint = ""
        self.requests: list[Message] = []
        self.times_remaining: list[float | None] = []
        self._answer: Message | None = None
        self._failure: tuple[grpc.StatusCode, str, Sequence[tuple[str, str | bytes]]] | None = None

    def answer(self, response: Message) -> None:
        self._answer = response

    def fail(self, code: grpc.StatusCode, text: str, *details: Message) -> None:
        """Fails with a rich status, as in the contract; without details, with a bare status."""
        status = Status(code=code.value[0], message=text, details=[_pack(detail) for detail in details])
        metadata = rpc_status.to_status(status).trailing_metadata if details else ()
        self._failure = (code, text, metadata)

    def fail_with_damaged_details(self, code: grpc.StatusCode, text: str) -> None:
        self._failure = (code, text, (("grpc-status-details-bin", b"\xff\xff\xff"),))

    def GetOpenIdTokenForDeveloperIdentity(  # noqa: N802 - the contract's name
        self, request: GetOpenIdTokenForDeveloperIdentityRequest, context: grpc.ServicerContext
    ) -> GetOpenIdTokenForDeveloperIdentityResponse:
        issued = GetOpenIdTokenForDeveloperIdentityResponse(expire_time=Timestamp(seconds=900))
        return self._serve(request, context, issued)

    def LookupDeveloperIdentity(  # noqa: N802 - the contract's name
        self, request: LookupDeveloperIdentityRequest, context: grpc.ServicerContext
    ) -> LookupDeveloperIdentityResponse:
        return self._serve(request, context, LookupDeveloperIdentityResponse())

    def MergeDeveloperIdentities(  # noqa: N802 - the contract's name
        self, request: MergeDeveloperIdentitiesRequest, context: grpc.ServicerContext
    ) -> MergeDeveloperIdentitiesResponse:
        return self._serve(request, context, MergeDeveloperIdentitiesResponse())

    def UnlinkDeveloperIdentity(  # noqa: N802 - the contract's name
        self, request: UnlinkDeveloperIdentityRequest, context: grpc.ServicerContext
    ) -> UnlinkDeveloperIdentityResponse:
        return self._serve(request, context, UnlinkDeveloperIdentityResponse())

    def _serve(self, request: Message, context: grpc.ServicerContext, response: _Response) -> _Response:
        self.requests.append(request)
        self.times_remaining.append(context.time_remaining())
        if self._failure is not None:
            _abort(context, *self._failure)
        if self._answer is not None:
            response.MergeFromString(self._answer.SerializeToString())
        return response


@contextmanager
def serving(
    address: str = "127.0.0.1:0", credentials: grpc.ServerCredentials | None = None
) -> Iterator[FakeDeveloperIdentityService]:
    """Serves a fake at the address, on a free port if the port is 0, until the block ends."""
    service = FakeDeveloperIdentityService()
    with served(service, address, credentials):
        yield service


@contextmanager
def served(
    service: FakeDeveloperIdentityService,
    address: str = "127.0.0.1:0",
    credentials: grpc.ServerCredentials | None = None,
) -> Iterator[None]:
    """As `serving`, for an existing fake."""
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    add_DeveloperIdentityServiceServicer_to_server(service, server)
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    service.endpoint = address if address.startswith("unix:") else address.replace(":0", f":{port}")
    server.start()
    try:
        yield
    finally:
        server.stop(None).wait()


def _abort(
    context: grpc.ServicerContext, code: grpc.StatusCode, text: str, metadata: Sequence[tuple[str, str | bytes]]
) -> NoReturn:
    context.set_trailing_metadata(tuple(metadata))
    context.abort(code, text)


def _pack(detail: Message) -> Any:
    packed = Any()
    packed.Pack(detail)
    return packed
