"""Converts requests of the service to the parameters of boto3."""

from tokend_server.model import LookupRequest, MergeRequest, TokenRequest, UnlinkRequest

Parameters = dict[str, object]


def token_parameters(request: TokenRequest) -> Parameters:
    """Returns the parameters of GetOpenIdTokenForDeveloperIdentity."""
    return _without_none(
        IdentityPoolId=request.identity_pool_id,
        IdentityId=request.identity_id,
        Logins={name: value.reveal() for name, value in request.logins.items()},
        PrincipalTags=dict(request.principal_tags) or None,
        TokenDuration=int(request.token_duration.total_seconds()),
    )


def lookup_parameters(request: LookupRequest) -> Parameters:
    """Returns the parameters of LookupDeveloperIdentity."""
    user = request.developer_user_identifier
    return _without_none(
        IdentityPoolId=request.identity_pool_id,
        IdentityId=request.identity_id,
        DeveloperUserIdentifier=user and user.reveal(),
        MaxResults=request.max_results,
        NextToken=request.next_token,
    )


def merge_parameters(request: MergeRequest) -> Parameters:
    """Returns the parameters of MergeDeveloperIdentities."""
    return _without_none(
        IdentityPoolId=request.identity_pool_id,
        DeveloperProviderName=request.developer_provider_name,
        SourceUserIdentifier=request.source_user_identifier.reveal(),
        DestinationUserIdentifier=request.destination_user_identifier.reveal(),
    )


def unlink_parameters(request: UnlinkRequest) -> Parameters:
    """Returns the parameters of UnlinkDeveloperIdentity."""
    return _without_none(
        IdentityPoolId=request.identity_pool_id,
        IdentityId=request.identity_id,
        DeveloperProviderName=request.developer_provider_name,
        DeveloperUserIdentifier=request.developer_user_identifier.reveal(),
    )


def _without_none(**members: object) -> Parameters:
    return {name: value for name, value in members.items() if value is not None}
