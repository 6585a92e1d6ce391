"""Between the messages of the contract and the values of the client."""

from datetime import UTC

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_client.model import DeveloperIdentity, OpenIdToken, TokenRequest


def token_request(request: TokenRequest) -> pb.GetOpenIdTokenForDeveloperIdentityRequest:
    """The message of a request; what is not given stays unset."""
    message = pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=request.identity_pool_id,
        identity_id=request.identity_id or "",
        logins=dict(request.logins),
        principal_tags=dict(request.principal_tags),
    )
    if request.token_duration is not None:
        message.token_duration.FromTimedelta(request.token_duration)
    return message


def open_id_token(response: pb.GetOpenIdTokenForDeveloperIdentityResponse) -> OpenIdToken:
    """The token in a response."""
    return OpenIdToken(
        response.identity_id,
        response.token,
        response.expire_time.ToDatetime(UTC),
        response.refresh_time.ToDatetime(UTC),
    )


def developer_identity(response: pb.LookupDeveloperIdentityResponse) -> DeveloperIdentity:
    """The identity in a response."""
    return DeveloperIdentity(
        response.identity_id, tuple(response.developer_user_identifier_list), response.next_token or None
    )
