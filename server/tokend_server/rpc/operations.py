"""The table of operations: from a message of the contract to the engine, and back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server.access.audit.record import AuditedRequest, AuditedResult
from tokend_server.access.authorization import PolicyRow
from tokend_server.clock import Deadline
from tokend_server.engine import Engine
from tokend_server.model import MAX_LOGIN_LENGTH, Operation, TokenRequest
from tokend_server.rpc import audited, convert
from tokend_server.rpc.admission import check_token
from tokend_server.rpc.validation import Check, mapping, number, text, whole_seconds

_Message = TypeVar("_Message", bound=Message)
_Request = TypeVar("_Request")
_Result = TypeVar("_Result")

_ID_PATTERN = r"[\w-]+:[0-9a-f-]+"
_POOL_ID = text("identity_pool_id", 55, pattern=_ID_PATTERN, required=True)
_DEVELOPER_PROVIDER_NAME = text("developer_provider_name", 128, pattern=r"[\w._-]+", required=True)


@dataclass(frozen=True, slots=True)
class ServedOperation(Generic[_Message, _Request, _Result]):
    """A row of the table: one operation.

    Attributes:
        message: The type of its request in the contract.
        limits: The limits of its fields, as AWS states them.
        audited_request: Makes the audit entry's request from a message, valid or not.
        to_request: Makes the engine's request from a message, the caller's name and the policy row that allows it;
            raises `CallerNotAllowed` if the message asks for more than the row allows.
        method: The engine's method.
        to_response: Makes the response from the result and the time of the response in seconds since the Unix epoch.
        audited_result: Makes the audit entry's result from a result.
        changes_users: Whether it may move a user to another identity or to none.
    """

    message: type[_Message]
    limits: tuple[Check, ...]
    audited_request: Callable[[_Message], AuditedRequest]
    to_request: Callable[[_Message, str, PolicyRow], _Request]
    method: Callable[[Engine], Callable[[_Request, Deadline], _Result]]
    to_response: Callable[[_Result, float], Message]
    audited_result: Callable[[_Result], AuditedResult]
    changes_users: bool = False


def _token_request(message: pb.GetOpenIdTokenForDeveloperIdentityRequest, caller: str, row: PolicyRow) -> TokenRequest:
    check_token(row, message)
    return convert.token_request(message, caller, row.max_token_duration)


OPERATIONS: Mapping[str, ServedOperation[Any, Any, Any]] = MappingProxyType(
    {
        Operation.GET_OPEN_ID_TOKEN_FOR_DEVELOPER_IDENTITY: ServedOperation(
            message=pb.GetOpenIdTokenForDeveloperIdentityRequest,
            limits=(
                _POOL_ID,
                text("identity_id", 55, pattern=_ID_PATTERN),
                mapping("logins", 10, max_key_length=128, max_value_length=MAX_LOGIN_LENGTH, required=True),
                mapping("principal_tags", 50, max_key_length=128, max_value_length=256),
                whole_seconds("token_duration", 1, 86_400),
            ),
            audited_request=audited.token_request,
            to_request=_token_request,
            method=lambda engine: engine.get_open_id_token_for_developer_identity,
            to_response=convert.token_response,
            audited_result=audited.issued_token,
        ),
        Operation.LOOKUP_DEVELOPER_IDENTITY: ServedOperation(
            message=pb.LookupDeveloperIdentityRequest,
            limits=(
                _POOL_ID,
                text("identity_id", 55, pattern=_ID_PATTERN),
                text("developer_user_identifier", 1024),
                number("max_results", 1, 60),
                text("next_token", 65_535, pattern=r"[\S]+"),
            ),
            audited_request=audited.lookup_request,
            to_request=lambda message, caller, _row: convert.lookup_request(message, caller),
            method=lambda engine: engine.lookup_developer_identity,
            to_response=lambda found, _now: convert.lookup_response(found),
            audited_result=audited.found_identity,
        ),
        Operation.MERGE_DEVELOPER_IDENTITIES: ServedOperation(
            message=pb.MergeDeveloperIdentitiesRequest,
            limits=(
                text("source_user_identifier", 1024, required=True),
                text("destination_user_identifier", 1024, required=True),
                _DEVELOPER_PROVIDER_NAME,
                _POOL_ID,
            ),
            audited_request=audited.merge_request,
            to_request=lambda message, _caller, _row: convert.merge_request(message),
            method=lambda engine: engine.merge_developer_identities,
            to_response=lambda identity_id, _now: pb.MergeDeveloperIdentitiesResponse(identity_id=identity_id),
            audited_result=audited.merged_identity,
            changes_users=True,
        ),
        Operation.UNLINK_DEVELOPER_IDENTITY: ServedOperation(
            message=pb.UnlinkDeveloperIdentityRequest,
            limits=(
                text("identity_id", 55, pattern=_ID_PATTERN, required=True),
                _POOL_ID,
                _DEVELOPER_PROVIDER_NAME,
                text("developer_user_identifier", 1024, required=True),
            ),
            audited_request=audited.unlink_request,
            to_request=lambda message, _caller, _row: convert.unlink_request(message),
            method=lambda engine: engine.unlink_developer_identity,
            to_response=lambda _none, _now: pb.UnlinkDeveloperIdentityResponse(),
            audited_result=audited.unlinked,
            changes_users=True,
        ),
    }
)
