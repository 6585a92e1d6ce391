"""Converts the status of a failed call to an error."""

from typing import Any, TypeVar

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo, ResourceInfo, RetryInfo
from google.rpc.status_pb2 import Status

from tokend_client.errors import FieldViolation, Resource, TokendError, protocol_error

DOMAIN = "tokend"

#: The trailer that carries google.rpc.Status.
DETAILS_TRAILER = "grpc-status-details-bin"

#: The bounds of google.protobuf.Duration: some ten thousand years.
_MAX_DURATION = 315_576_000_000
_NANOSECONDS = 1_000_000_000

#: BoringSSL's message for a response that is not TLS.
_NO_TLS = "WRONG_VERSION_NUMBER"

_Detail = TypeVar("_Detail", bound=Message)


def to_error(failed: grpc.RpcError) -> TokendError:
    """Returns the error of a call that ended with a status, for any API: synchronous, future or asyncio.

    A status with an invalid or negative delay breaks the contract.
    """
    details = failed.details() or ""
    hint = "; does the service use plaintext?" if _NO_TLS in details else ""
    error = TokendError(details + hint, failed.code())
    status = _status(failed)
    info = _first_detail(status, ErrorInfo())
    if info.domain == DOMAIN:
        error.reason = info.reason
        error.aws_error_code = info.metadata.get("aws_error_code")
        error.aws_request_id = info.metadata.get("aws_request_id")
    retry, resource = _first_detail(status, RetryInfo()), _first_detail(status, ResourceInfo())
    if retry.HasField("retry_delay"):
        if not _is_valid_delay(retry.retry_delay):
            return protocol_error("an invalid delay")
        error.retry_delay = retry.retry_delay.ToTimedelta()
    if resource.resource_type:
        error.resource = Resource(resource.resource_type, resource.resource_name)
    violations = _first_detail(status, BadRequest()).field_violations
    error.violations = tuple(FieldViolation(each.field, each.description) for each in violations)
    error.request_id = _first_detail(status, RequestInfo()).request_id or None
    return error


def _is_valid_delay(duration: Duration) -> bool:
    return 0 <= duration.seconds <= _MAX_DURATION and 0 <= duration.nanos < _NANOSECONDS


def _status(failed: grpc.RpcError) -> Status:
    trailers: Any = failed.trailing_metadata() or ()  # pairs, of one type or another for each API
    for name, value in trailers:
        if name == DETAILS_TRAILER and isinstance(value, bytes):
            try:
                return Status.FromString(value)
            except DecodeError:
                # Damaged details must not hide the status itself.
                break
    return Status()


def _first_detail(status: Status, detail: _Detail) -> _Detail:
    for packed in status.details:
        if packed.Is(detail.DESCRIPTOR):
            try:
                packed.Unpack(detail)
            except DecodeError:
                detail.Clear()
            break
    return detail
