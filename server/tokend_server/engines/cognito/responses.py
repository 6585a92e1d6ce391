"""Cognito's responses as values of the service. What cannot be understood is not Cognito's."""

from collections.abc import Mapping
from typing import Any

from tokend_server.engines.cognito.fault_rows import ROWS
from tokend_server.engines.cognito.unverified_token import UnreadableToken, read_unverified
from tokend_server.errors import EngineMisconfigured
from tokend_server.model import DeveloperIdentity, IssuedToken, NumericDate, Secret, TokenRequest, refresh_time


def issued_token(request: TokenRequest, response: Mapping[str, Any]) -> tuple[IssuedToken, NumericDate]:
    """The token of a GetOpenIdTokenForDeveloperIdentity response, and its `iat`.

    Raises:
        EngineMisconfigured: A member is missing, or the token is none.
    """
    token = Secret(_text(response, "Token"))
    try:
        facts = read_unverified(token)
    except UnreadableToken:
        raise _not_understood() from None
    issued_at = facts.issued_at
    if issued_at is None:
        issued_at = facts.expire_time - int(request.token_duration.total_seconds())
    issued = IssuedToken(
        identity_id=identity_id(response),
        token=token,
        expire_time=facts.expire_time,
        refresh_time=refresh_time(issued_at, facts.expire_time),
        algorithm=facts.algorithm,
        key_id=facts.key_id,
        outcome=None,
    )
    return issued, issued_at


def developer_identity(response: Mapping[str, Any]) -> DeveloperIdentity:
    """The identity of a LookupDeveloperIdentity response.

    Raises:
        EngineMisconfigured: A member is missing or of another type.
    """
    users = response.get("DeveloperUserIdentifierList", [])
    next_token = response.get("NextToken")
    if not isinstance(users, list) or not all(isinstance(user, str) for user in users):
        raise _not_understood()
    if not isinstance(next_token, str | None):
        raise _not_understood()
    return DeveloperIdentity(identity_id(response), tuple(map(Secret, users)), next_token or None)


def identity_id(response: Mapping[str, Any]) -> str:
    """The identity id of a response.

    Raises:
        EngineMisconfigured: There is none.
    """
    return _text(response, "IdentityId")


def check_acknowledged(response: Mapping[str, Any]) -> None:
    """Makes sure that a response without members is Cognito's: whatever answers with success would look like it.

    Raises:
        EngineMisconfigured: It has no request id.
    """
    if not response.get("ResponseMetadata", {}).get("RequestId"):
        raise _not_understood()


def _text(response: Mapping[str, Any], member: str) -> str:
    value = response.get(member)
    if not isinstance(value, str) or not value:
        raise _not_understood()
    return value


def _not_understood() -> EngineMisconfigured:
    error = EngineMisconfigured("Cognito's answer could not be understood.")
    error.advice = ROWS.not_service.advice
    return error
