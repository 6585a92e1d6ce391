"""The choice of the IAM role for a device's credentials: the rules of Cognito's role-based access control.

Cognito Developer Guide, "Using role-based access control".
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from tokend_server.errors import InvalidIdentityPoolConfiguration, NotAuthorized

#: The prefix of a claim that is a principal tag (IAM User Guide, "aws:RequestTag/tag-key").
TAG_PREFIX = "aws:RequestTag/"

_TAGS = "https://aws.amazon.com/tags"

#: The claims of a user pool's ID token with the roles of the user's groups, and that of the most important one.
_ROLES, _PREFERRED_ROLE = "cognito:roles", "cognito:preferred_role"


class Match(StrEnum):
    """The comparison of a rule: `MatchType` of Cognito's `MappingRule`."""

    EQUALS = "Equals"
    CONTAINS = "Contains"
    STARTS_WITH = "StartsWith"
    NOT_EQUAL = "NotEqual"


#: The comparisons of a claim's text with a rule's value.
_COMPARISONS: Mapping[Match, Callable[[str, str], bool]] = MappingProxyType(
    {
        Match.EQUALS: lambda text, value: text == value,
        Match.CONTAINS: lambda text, value: value in text,
        Match.STARTS_WITH: lambda text, value: text.startswith(value),
        Match.NOT_EQUAL: lambda text, value: text != value,
    }
)


@dataclass(frozen=True, slots=True)
class RoleRule:
    """A rule.

    Attributes:
        claim: A claim of tokend's token, or of the presented ID token; `aws:RequestTag/` and a name is a principal tag.
        match: The comparison. A claim that is a list matches if one of its texts does, or for `NotEqual` if all do; an
            absent claim never matches.
        value: The value to compare with.
        role_arn: The role of users whose claim matches.
    """

    claim: str
    match: Match
    value: str
    role_arn: str

    def matches(self, claims: Mapping[str, Any]) -> bool:
        """Returns whether the claims of a token match."""
        texts = _texts(claims, self.claim)
        compare = _COMPARISONS[self.match]
        found = [compare(text, self.value) for text in texts]
        return bool(found) and (all(found) if self.match is Match.NOT_EQUAL else any(found))


@dataclass(frozen=True, slots=True)
class PoolRoles:
    """The roles of a pool.

    Attributes:
        authenticated: The role of users; None for no role.
        unauthenticated: The role of guests; None for no role.
        rules: The rules for other roles; the first match applies.
        denies: Whether users without a matching rule get no role.
        by_token: Whether the users' tokens name their roles, as those of Cognito's user pools do.
    """

    authenticated: str | None = None
    unauthenticated: str | None = None
    rules: Sequence[RoleRule] = ()
    denies: bool = False
    by_token: bool = False


def pool_roles(given: Mapping[str, Any], provider_name: str, client_id: str) -> PoolRoles:
    """Returns the roles of a pool for users of a provider.

    Args:
        given: The members `Roles` and `RoleMappings` of SetIdentityPoolRoles.
        provider_name: The provider.
        client_id: The client id of the provider with which the users have logged in; a mapping of a user pool has it
            after the name. If it is not known, no such mapping assigns a role, but each may deny one.
    """
    mappings: Mapping[str, Mapping[str, Any]] = given.get("RoleMappings", {})
    own = [mappings[name] for name in (provider_name, f"{provider_name}:{client_id}") if name in mappings]
    of_clients = [each for name, each in mappings.items() if name.startswith(f"{provider_name}:")]
    denying = own if client_id else own + of_clients
    rules = [rule for each in own for rule in rules_of(each)]
    return PoolRoles(
        given.get("Roles", {}).get("authenticated"),
        given.get("Roles", {}).get("unauthenticated"),
        [RoleRule(rule["Claim"], Match(rule["MatchType"]), rule["Value"], rule["RoleARN"]) for rule in rules],
        denies=any(each.get("AmbiguousRoleResolution") == "Deny" for each in denying),
        by_token=any(each["Type"] == "Token" for each in own),
    )


def rules_of(mapping: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Returns the rules of a mapping; those of the type `Token` are ignored."""
    rules: Sequence[Mapping[str, Any]] = mapping.get("RulesConfiguration", {}).get("Rules", ())
    return rules if mapping["Type"] == "Rules" else ()


def provider_of(claims: Mapping[str, Any]) -> str:
    """Returns the provider in a token's `amr`; empty for a guest's token."""
    methods = claims.get("amr", ())
    return methods[1] if len(methods) > 1 else ""


def choose_role(roles: PoolRoles, claims: Mapping[str, Any], custom_role_arn: str | None) -> str:
    """Returns the role of the holder of a token.

    Args:
        roles: The roles of its pool.
        claims: The token's claims, and those of the presented ID token.
        custom_role_arn: The requested role, if the rules or the ID token allow several.

    Raises:
        NotAuthorized: No rule matches and this denies access, or the requested role is not allowed.
        InvalidIdentityPoolConfiguration: There is no role, or its ARN is not valid.
    """
    if custom_role_arn is not None and custom_role_arn in _roles_in_token(roles, claims):
        return custom_role_arn
    candidates = [*_candidates(roles, claims)]
    if custom_role_arn is not None:
        if custom_role_arn not in candidates:
            raise NotAuthorized("The identity may not assume the role in CustomRoleArn.")
        return custom_role_arn
    if not candidates or not candidates[0].isascii():
        raise InvalidIdentityPoolConfiguration(
            "Invalid identity pool configuration. Check assigned IAM roles for this pool."
        )
    return candidates[0]


def _candidates(roles: PoolRoles, claims: Mapping[str, Any]) -> Iterator[str]:
    if "authenticated" not in claims.get("amr", ()):
        if roles.unauthenticated:
            yield roles.unauthenticated
        return
    fitting = [rule.role_arn for rule in roles.rules if rule.matches(claims)]
    if roles.by_token:
        fitting += _texts(claims, _PREFERRED_ROLE)
    if not fitting and roles.denies:
        raise NotAuthorized(f"The ambiguous role mapping rules for: {provider_of(claims)} denied this request.")
    yield from fitting
    if not fitting and roles.authenticated:
        yield roles.authenticated


def _roles_in_token(roles: PoolRoles, claims: Mapping[str, Any]) -> Sequence[str]:
    """Returns the roles in the holder's ID token, if they apply."""
    return _texts(claims, _ROLES) if roles.by_token else ()


def _texts(claims: Mapping[str, Any], name: str) -> Sequence[str]:
    if name.startswith(TAG_PREFIX):
        tags: Mapping[str, Sequence[str]] = claims.get(_TAGS, {}).get("principal_tags", {})
        return tags.get(name.removeprefix(TAG_PREFIX), ())
    value = claims.get(name)
    listed = value if isinstance(value, list) else [value]
    return [each for each in listed if isinstance(each, str)]
