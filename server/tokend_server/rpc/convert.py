"""Converts between the messages of the contract and the data types of the service.

The maps of a message have no defined order (Protocol Buffers, "Maps"). Here they are sorted by key, so that equal
requests produce equal tokens, errors and audit entries.
"""

from datetime import timedelta

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server.model import (
    DEFAULT_TOKEN_DURATION,
    DeveloperIdentity,
    IssuedToken,
    LookupRequest,
    MergeRequest,
    Secret,
    TokenRequest,
    UnlinkRequest,
)

DEFAULT_MAX_RESULTS = 60

_MILLISECONDS = 1000
_NANOSECONDS_OF_A_MILLISECOND = 1_000_000


def token_request(
    message: pb.GetOpenIdTokenForDeveloperIdentityRequest, caller: str, max_duration: timedelta
) -> TokenRequest:
    return TokenRequest(
        identity_pool_id=message.identity_pool_id,
        logins={name: Secret(message.logins[name]) for name in sorted(message.logins)},
        identity_id=message.identity_id or None,
        principal_tags={name: message.principal_tags[name] for name in sorted(message.principal_tags)},
        token_duration=(
            timedelta(seconds=message.token_duration.seconds)
            if message.HasField("token_duration")
            else min(DEFAULT_TOKEN_DURATION, max_duration)
        ),
        caller=caller,
    )


def token_response(issued: IssuedToken, now: float) -> pb.GetOpenIdTokenForDeveloperIdentityResponse:
    """Returns the response that is sent at `now`, in seconds since the Unix epoch.

    `issue_time` is always before the token's end, even if it expired on its way here or by this clock.
    """
    moment = min(int(now * _MILLISECONDS), issued.expire_time * _MILLISECONDS - 1)
    seconds, milliseconds = divmod(moment, _MILLISECONDS)
    response = pb.GetOpenIdTokenForDeveloperIdentityResponse(
        identity_id=issued.identity_id, token=issued.token.reveal()
    )
    # In place: to create Timestamps and copy them costs three times as much as the rest of a response.
    response.expire_time.seconds = issued.expire_time
    response.refresh_time.seconds = issued.refresh_time
    response.issue_time.seconds = seconds
    response.issue_time.nanos = milliseconds * _NANOSECONDS_OF_A_MILLISECOND
    return response


def lookup_request(message: pb.LookupDeveloperIdentityRequest, caller: str) -> LookupRequest:
    return LookupRequest(
        identity_pool_id=message.identity_pool_id,
        identity_id=message.identity_id or None,
        developer_user_identifier=(
            Secret(message.developer_user_identifier) if message.developer_user_identifier else None
        ),
        max_results=message.max_results or DEFAULT_MAX_RESULTS,
        next_token=message.next_token or None,
        caller=caller,
    )


def lookup_response(identity: DeveloperIdentity) -> pb.LookupDeveloperIdentityResponse:
    return pb.LookupDeveloperIdentityResponse(
        identity_id=identity.identity_id,
        developer_user_identifier_list=[user.reveal() for user in identity.developer_user_identifiers],
        next_token=identity.next_token or "",
    )


def merge_request(message: pb.MergeDeveloperIdentitiesRequest) -> MergeRequest:
    return MergeRequest(
        identity_pool_id=message.identity_pool_id,
        developer_provider_name=message.developer_provider_name,
        source_user_identifier=Secret(message.source_user_identifier),
        destination_user_identifier=Secret(message.destination_user_identifier),
    )


def unlink_request(message: pb.UnlinkDeveloperIdentityRequest) -> UnlinkRequest:
    return UnlinkRequest(
        identity_pool_id=message.identity_pool_id,
        identity_id=message.identity_id,
        developer_provider_name=message.developer_provider_name,
        developer_user_identifier=Secret(message.developer_user_identifier),
    )
