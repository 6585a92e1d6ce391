"""Converts Cognito's responses to data types of the service. Malformed responses are not from Cognito."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeGuard

from tokend_server.engines.cognito.fault_rows import ROWS
from tokend_server.engines.cognito.unverified_token import read_unverified
from tokend_server.errors import EngineMisconfigured
from tokend_server.model import DeveloperIdentity, IssuedToken, NumericDate, Secret, TokenRequest, refresh_time
from tokend_server.oidc.tokens import MalformedToken

_SURROGATE = re.compile("[\ud800-\udfff]")


class Listed(NamedTuple):
    """An identity from ListIdentities, with only the provider names of its logins."""

    identity_id: str
    provider_names: frozenset[str]
    creation_date: NumericDate
    last_modified_date: NumericDate


def issued_token(request: TokenRequest, response: Mapping[str, Any]) -> tuple[IssuedToken, NumericDate]:
    """Returns the token in a response of GetOpenIdTokenForDeveloperIdentity, and its `iat`.

    Raises:
        EngineMisconfigured: A member is missing, or the token is malformed.
    """
    token = Secret(_text(response, "Token"))
    try:
        facts = read_unverified(token)
    except MalformedToken:
        raise unexpected_response() from None
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
    """Returns the identity in a response of LookupDeveloperIdentity.

    Raises:
        EngineMisconfigured: A member is missing or of another type.
    """
    users = response.get("DeveloperUserIdentifierList", [])
    next_token = response.get("NextToken")
    if not isinstance(users, list) or not all(map(_is_text, users)):
        raise unexpected_response()
    if next_token is not None and not _is_text(next_token):
        raise unexpected_response()
    return DeveloperIdentity(identity_id(response), tuple(map(Secret, users)), next_token or None)


def listed_identities(response: Mapping[str, Any]) -> tuple[Listed, ...]:
    """Returns the identities in a response of ListIdentities.

    Raises:
        EngineMisconfigured: A member is missing or of another type.
    """
    identities, next_token = response.get("Identities"), response.get("NextToken")
    if not isinstance(identities, list) or not isinstance(next_token, str | None):
        raise unexpected_response()
    return tuple(map(_listed, identities))


def developer_provider_name(response: Mapping[str, Any]) -> str:
    """Returns the developer provider in a response of DescribeIdentityPool; empty if there is none.

    Raises:
        EngineMisconfigured: The response is not a pool.
    """
    _text(response, "IdentityPoolId")
    name = response.get("DeveloperProviderName", "")
    if not isinstance(name, str):
        raise unexpected_response()
    return name


def identity_id(response: Mapping[str, Any]) -> str:
    """Returns the identity id in a response.

    Raises:
        EngineMisconfigured: There is no identity id.
    """
    return _text(response, "IdentityId")


def check_acknowledged(response: Mapping[str, Any]) -> None:
    """Checks that a response without members is from Cognito: any successful response would look the same.

    Raises:
        EngineMisconfigured: It has no request id.
    """
    if not response.get("ResponseMetadata", {}).get("RequestId"):
        raise unexpected_response()


def unexpected_response() -> EngineMisconfigured:
    """Returns the error for a response that is not from Cognito."""
    return EngineMisconfigured("Cognito's response could not be parsed.").with_advice(ROWS.not_service.advice)


def _listed(described: Any) -> Listed:  # noqa: ANN401 - any JSON value
    if not isinstance(described, dict):
        raise unexpected_response()
    names = described.get("Logins", [])
    if not isinstance(names, list) or not all(map(_is_text, names)):
        raise unexpected_response()
    created, modified = _date(described, "CreationDate"), _date(described, "LastModifiedDate")
    return Listed(identity_id(described), frozenset(names), created, modified)


def _date(described: Mapping[str, Any], member: str) -> NumericDate:
    date = described.get(member)
    if not isinstance(date, datetime):
        raise unexpected_response()
    return int(date.timestamp())


def _text(response: Mapping[str, Any], member: str) -> str:
    value = response.get(member)
    if not _is_text(value) or not value:
        raise unexpected_response()
    return value


def _is_text(value: object) -> TypeGuard[str]:
    """Returns whether a value is valid Unicode text; JSON can contain lone surrogates, which responses cannot."""
    return isinstance(value, str) and (value.isascii() or not _SURROGATE.search(value))
