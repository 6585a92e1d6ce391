"""A failed call, told to a person."""

from typing import TypeVar, cast

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

_Detail = TypeVar("_Detail", bound=Message)


def describe(error: grpc.RpcError) -> str:
    """The code, the reason and the text of a failed call; then its field violations and its request id, if any.

    The status details are those of the contract: `google.rpc.ErrorInfo`, `BadRequest` and `RequestInfo`.
    """
    info, bad_request, request_info = _details(error)
    head = " ".join(filter(None, (error.code().name, info.reason)))
    lines = [
        f"{head}: {error.details()}",
        *(f"  {violation.field}: {violation.description}" for violation in bad_request.field_violations),
        *([f"  request id: {request_info.request_id}"] if request_info.request_id else []),
    ]
    return "\n".join(lines)


def _details(error: grpc.RpcError) -> tuple[ErrorInfo, BadRequest, RequestInfo]:
    try:
        # Every error that a stub raises is the failed call as well.
        status: Status | None = rpc_status.from_call(cast("grpc.Call", error))
        return _first(status, ErrorInfo()), _first(status, BadRequest()), _first(status, RequestInfo())
    except (ValueError, DecodeError):
        # Details that are damaged or belong to another status must not hide the status itself.
        return ErrorInfo(), BadRequest(), RequestInfo()


def _first(status: Status | None, detail: _Detail) -> _Detail:
    for packed in status.details if status else ():
        if packed.Unpack(detail):
            break
    return detail
