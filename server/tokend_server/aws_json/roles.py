"""Which IAM role a user's device is given credentials for: the rules of Cognito's role-based access control, as data.

Cognito Developer Guide, "Using role-based access control".
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from tokend_server.errors import InvalidIdentityPoolConfiguration, NotAuthorized

#: What the name of a claim begins with that is a principal tag (IAM User Guide, "aws:RequestTag/tag-key").
TAG_PREFIX = "aws:RequestTag/"

_TAGS = "https://aws.amazon.com/tags"

#: The claims of a user pool's ID token with the roles of the user's groups, and that of the most important one.
_ROLES, _PREFERRED_ROLE = "cognito:roles", "cognito:preferred_role"


class Match(StrEnum):
    """How a rule compares a claim: `MatchType` of Cognito's `MappingRule`."""

    EQUALS = "Equals"
    CONTAINS = "Contains"
    STARTS_WITH = "StartsWith"
    NOT_EQUAL = "NotEqual"


#: What a comparison says of a claim's text and a rule's value.
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
        claim: A claim of tokend's token, or else of the ID token that was shown; `aws:RequestTag/` and a name is a
            principal tag.
        match: How it is compared. A claim that is a list matches if one of its texts does, and for `NotEqual`, if all
            do; one that is not there never matches.
        value: What with.
        role_arn: The role of users whose claim matches.
    """

    claim: str
    match: Match
    value: str
    role_arn: str

    def fits(self, claims: Mapping[str, Any]) -> bool:
        """Whether the claims of a token match."""
        texts = _texts(claims, self.claim)
        compare = _COMPARISONS[self.match]
        found = [compare(text, self.value) for text in texts]
        return bool(found) and (all(found) if self.match is Match.NOT_EQUAL else any(found))


@dataclass(frozen=True, slots=True)
class PoolRoles:
    """The roles of a pool.

    Attributes:
        authenticated: Of users; None for none.
        unauthenticated: Of guests; None for none.
        rules: What gives users other ones, the first that fits.
        denies: Whether users whom no rule fits get none.
        by_token: Whether the users' tokens name their roles, as those of Cognito's user pools do.
    """

    authenticated: str | None = None
    unauthenticated: str | None = None
    rules: Sequence[RoleRule] = ()
    denies: bool = False
    by_token: bool = False


def pool_roles(given: Mapping[str, Any], provider_name: str, client_id: str) -> PoolRoles:
    """The roles of a pool for users of a provider.

    Args:
        given: The members `Roles` and `RoleMappings` of SetIdentityPoolRoles.
        provider_name: The provider.
        client_id: The client of it that the users have logged in to, which a mapping of a user pool has behind the
            name. Of users whose client is not known, no such mapping gives a role, but any may deny one.
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
    """The rules of a mapping; one of the type `Token` may have some, which do not count."""
    rules: Sequence[Mapping[str, Any]] = mapping.get("RulesConfiguration", {}).get("Rules", ())
    return rules if mapping["Type"] == "Rules" else ()


def provider_of(claims: Mapping[str, Any]) -> str:
    """The provider that vouches for the holder of a token; none for a guest's."""
    methods = claims.get("amr", ())
    return methods[1] if len(methods) > 1 else ""


def choose_role(roles: PoolRoles, claims: Mapping[str, Any], custom_role_arn: str | None) -> str:
    """The role of the holder of a token.

    Args:
        roles: The roles of its pool.
        claims: The token's claims, and those of the ID token that its holder has shown.
        custom_role_arn: The role that is asked for, of several that the rules or the ID token give.

    Raises:
        NotAuthorized: No rule fits, and that denies; or the role that is asked for is not the holder's.
        InvalidIdentityPoolConfiguration: There is no role, or it is none that IAM could have.
    """
    if custom_role_arn is not None and custom_role_arn in _of_token(roles, claims):
        return custom_role_arn
    candidates = [*_candidates(roles, claims)]
    if custom_role_arn is not None:
        if custom_role_arn not in candidates:
            raise NotAuthorized("The role of CustomRoleArn is none that the identity may assume.")
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
    fitting = [rule.role_arn for rule in roles.rules if rule.fits(claims)]
    if roles.by_token:
        fitting += _texts(claims, _PREFERRED_ROLE)
    if not fitting and roles.denies:
        raise NotAuthorized(f"The ambiguous role mapping rules for: {provider_of(claims)} denied this request.")
    yield from fitting
    if not fitting and roles.authenticated:
        yield roles.authenticated


def _of_token(roles: PoolRoles, claims: Mapping[str, Any]) -> Sequence[str]:
    """The roles that the holder's ID token names, where they count."""
    return _texts(claims, _ROLES) if roles.by_token else ()


def _texts(claims: Mapping[str, Any], name: str) -> Sequence[str]:
    if name.startswith(TAG_PREFIX):
        tags: Mapping[str, Sequence[str]] = claims.get(_TAGS, {}).get("principal_tags", {})
        return tags.get(name.removeprefix(TAG_PREFIX), ())
    value = claims.get(name)
    listed = value if isinstance(value, list) else [value]
    return [each for each in listed if isinstance(each, str)]
