"""Calls of the contract from a scenario, and their responses for `shapes`."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, ResourceInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from tests.conformance.names import Json
from tests.conformance.play import Caller

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub

TIMEOUT = 60


def grpc_caller(channel: grpc.Channel) -> Caller:
    """Calls a service on a channel."""
    stub = DeveloperIdentityServiceStub(channel)

    def call(operation: str, request: Mapping[str, Json]) -> Json:
        send: Callable[..., Message] = getattr(stub, operation)
        try:
            return _response(send(request_message(operation, request), timeout=TIMEOUT))
        except grpc.RpcError as error:
            # Every error that a stub raises is the failed call as well.
            return _error(cast("grpc.Call", error))

    return call


def request_message(operation: str, request: Mapping[str, Json]) -> Message:
    """Returns the request of an operation.

    Raises:
        google.protobuf.json_format.ParseError: It has no such member, or one of another type.
    """
    members = {name[0].lower() + name[1:]: value for name, value in request.items()}
    if "tokenDuration" in members:
        members["tokenDuration"] = f"{members['tokenDuration']}s"
    message: Message = getattr(pb, f"{operation}Request")()
    return ParseDict(members, message)


def _response(response: Any) -> Json:  # noqa: ANN401 - the message of any operation
    match response:
        case pb.GetOpenIdTokenForDeveloperIdentityResponse():
            return {
                "IdentityId": response.identity_id,
                "Token": response.token,
                "ExpireTime": response.expire_time.seconds,
                "RefreshTime": response.refresh_time.seconds,
                "IssueTime": response.issue_time.seconds,
            }
        case pb.LookupDeveloperIdentityResponse():
            users = list(response.developer_user_identifier_list)
            page = {"IdentityId": response.identity_id, "DeveloperUserIdentifierList": users}
            return page | ({"NextToken": response.next_token} if response.next_token else {})
        case pb.MergeDeveloperIdentitiesResponse():
            return {"IdentityId": response.identity_id}
    return {}


def _error(call: grpc.Call) -> Json:
    status = rpc_status.from_call(call) or Status()
    details = {packed.TypeName().rpartition(".")[2]: packed for packed in status.details}
    info = ErrorInfo()
    if packed := details.pop("ErrorInfo", None):
        packed.Unpack(info)
    about = [_DETAILS[kind](packed) for kind, packed in details.items() if kind in _DETAILS]
    error = {
        "code": call.code().name,
        "error": info.reason,
        "domain": info.domain,
        "details": sorted(details),
        "text": call.details(),
        **{name: value for each in about for name, value in each.items()},
        **info.metadata,
    }
    return error | {name: "given" for name in ("aws_request_id",) if name in error}


def _bad_request(packed: Any) -> Json:  # noqa: ANN401 - google.protobuf.Any, as below
    message = BadRequest()
    packed.Unpack(message)
    return {"fields": [f"{violation.field}: {violation.description}" for violation in message.field_violations]}


def _resource_info(packed: Any) -> Json:  # noqa: ANN401
    message = ResourceInfo()
    packed.Unpack(message)
    return {"resource": " ".join(filter(None, (message.resource_type, message.resource_name)))}


def _quota_failure(packed: Any) -> Json:  # noqa: ANN401
    message = QuotaFailure()
    packed.Unpack(message)
    return {"quota": [violation.subject for violation in message.violations]}


_DETAILS: Mapping[str, Callable[[Any], Json]] = {
    "BadRequest": _bad_request,
    "ResourceInfo": _resource_info,
    "QuotaFailure": _quota_failure,
}
