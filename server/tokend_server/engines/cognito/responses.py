"""Cognito's responses as values of the service. What cannot be understood is not Cognito's."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeGuard

from tokend_server.engines.cognito.fault_rows import ROWS
from tokend_server.engines.cognito.unverified_token import UnreadableToken, read_unverified
from tokend_server.errors import EngineMisconfigured
from tokend_server.model import DeveloperIdentity, IssuedToken, NumericDate, Secret, TokenRequest, refresh_time

_SURROGATE = re.compile("[\ud800-\udfff]")


class Listed(NamedTuple):
    """An identity as ListIdentities has it: of its logins, the names of the providers alone."""

    identity_id: str
    provider_names: frozenset[str]
    creation_date: NumericDate
    last_modified_date: NumericDate


def issued_token(request: TokenRequest, response: Mapping[str, Any]) -> tuple[IssuedToken, NumericDate]:
    """The token of a GetOpenIdTokenForDeveloperIdentity response, and its `iat`.

    Raises:
        EngineMisconfigured: A member is missing, or the token is none.
    """
    token = Secret(_text(response, "Token"))
    try:
        facts = read_unverified(token)
    except UnreadableToken:
        raise not_understood() from None
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
    if not isinstance(users, list) or not all(map(_is_text, users)):
        raise not_understood()
    if next_token is not None and not _is_text(next_token):
        raise not_understood()
    return DeveloperIdentity(identity_id(response), tuple(map(Secret, users)), next_token or None)


def listed_identities(response: Mapping[str, Any]) -> tuple[tuple[Listed, ...], str | None]:
    """The identities of a ListIdentities response, and the token of the next page.

    Raises:
        EngineMisconfigured: A member is missing or of another type.
    """
    identities, next_token = response.get("Identities"), response.get("NextToken")
    if not isinstance(identities, list) or not isinstance(next_token, str | None):
        raise not_understood()
    return tuple(map(_listed, identities)), next_token or None


def developer_provider_name(response: Mapping[str, Any]) -> str:
    """The developer provider of a DescribeIdentityPool response; empty for none.

    Raises:
        EngineMisconfigured: The response is of no pool.
    """
    _text(response, "IdentityPoolId")
    name = response.get("DeveloperProviderName", "")
    if not isinstance(name, str):
        raise not_understood()
    return name


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
        raise not_understood()


def not_understood() -> EngineMisconfigured:
    """The error for an answer that is not Cognito's."""
    error = EngineMisconfigured("Cognito's answer could not be understood.")
    error.advice = ROWS.not_service.advice
    return error


def _listed(described: Any) -> Listed:  # noqa: ANN401 - whatever the list holds
    if not isinstance(described, dict):
        raise not_understood()
    names = described.get("Logins", [])
    if not isinstance(names, list) or not all(map(_is_text, names)):
        raise not_understood()
    created, modified = _date(described, "CreationDate"), _date(described, "LastModifiedDate")
    return Listed(identity_id(described), frozenset(names), created, modified)


def _date(described: Mapping[str, Any], member: str) -> NumericDate:
    date = described.get(member)
    if not isinstance(date, datetime):
        raise not_understood()
    return int(date.timestamp())


def _text(response: Mapping[str, Any], member: str) -> str:
    value = response.get(member)
    if not _is_text(value) or not value:
        raise not_understood()
    return value


def _is_text(value: object) -> TypeGuard[str]:
    """Whether a value is a text of Unicode's; JSON can spell half of a surrogate pair, which no answer can hold."""
    return isinstance(value, str) and not _SURROGATE.search(value)
