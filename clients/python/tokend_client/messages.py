"""Converts between the messages of the contract and the values of the client."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_client.errors import protocol_error
from tokend_client.model import LookupResult, Token, TokenRequest

#: The bounds of google.protobuf.Timestamp: the years 1 to 9999.
_FIRST_SECOND = -62_135_596_800
_LAST_SECOND = 253_402_300_799
_NANOSECONDS = 1_000_000_000


def token_request(request: TokenRequest) -> pb.GetOpenIdTokenForDeveloperIdentityRequest:
    """Returns the message of a request. Missing values stay unset."""
    message = pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=request.identity_pool_id,
        identity_id=request.identity_id or "",
        logins=dict(request.logins),
        principal_tags=dict(request.principal_tags),
    )
    if request.token_duration is not None:
        message.token_duration.FromTimedelta(request.token_duration)
    return message


def token(response: pb.GetOpenIdTokenForDeveloperIdentityResponse) -> Token:
    """Returns the token in a response.

    Raises:
        TokendError: Its times break the contract.
    """
    if not response.HasField("expire_time"):
        raise protocol_error("a token without its expire_time")
    issue_time = _to_datetime(response.issue_time) if response.HasField("issue_time") else None
    expire_time = _to_datetime(response.expire_time)
    if issue_time is not None and expire_time <= issue_time:
        raise protocol_error("an expire_time that is not after issue_time")
    return Token(response.identity_id, response.token, expire_time, _to_datetime(response.refresh_time), issue_time)


def _to_datetime(timestamp: Timestamp) -> datetime:
    if not (_FIRST_SECOND <= timestamp.seconds <= _LAST_SECOND and 0 <= timestamp.nanos < _NANOSECONDS):
        raise protocol_error("an invalid time")
    return timestamp.ToDatetime(UTC)


def lookup_result(response: pb.LookupDeveloperIdentityResponse) -> LookupResult:
    """Returns the identity in a response."""
    return LookupResult(
        response.identity_id, tuple(response.developer_user_identifier_list), response.next_token or None
    )
