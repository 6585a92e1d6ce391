"""Which role the holder of a token gets: rules in order, the pool's own roles, and the requested role."""

from typing import Any

import pytest

from tokend_server.aws_json.roles import Match, PoolRoles, RoleRule, choose_role, pool_roles, provider_of
from tokend_server.errors import InvalidIdentityPoolConfiguration, NotAuthorized

USERS, GUESTS, BLUE, RED = (f"arn:aws:iam::123456789012:role/{name}" for name in ("users", "guests", "blue", "red"))
GUEST = {"sub": "eu-west-1:1", "amr": ["unauthenticated"]}
USER = {"sub": "eu-west-1:2", "amr": ["authenticated", "login.example.test", "login.example.test:p:alice"]}
TEAM = "aws:RequestTag/team"


def of_team(name: str) -> dict[str, Any]:
    return {**USER, "https://aws.amazon.com/tags": {"principal_tags": {"team": [name]}}}


def rule(match: Match, value: str, claim: str = TEAM, role_arn: str = BLUE) -> RoleRule:
    return RoleRule(claim, match, value, role_arn)


def test_guests_and_users_have_a_role_each() -> None:
    roles = PoolRoles(USERS, GUESTS)
    assert (choose_role(roles, USER, None), choose_role(roles, GUEST, None)) == (USERS, GUESTS)


@pytest.mark.parametrize(("roles", "claims"), [(PoolRoles(USERS), GUEST), (PoolRoles(None, GUESTS), USER)])
def test_a_missing_role_is_an_invalid_pool_configuration(roles: PoolRoles, claims: dict[str, Any]) -> None:
    with pytest.raises(InvalidIdentityPoolConfiguration, match="Check assigned IAM roles for this pool"):
        choose_role(roles, claims, None)


@pytest.mark.parametrize(
    ("match", "value", "teams"),
    [
        (Match.EQUALS, "blue", {"blue"}),
        (Match.CONTAINS, "lu", {"blue", "plum-lu"}),
        (Match.STARTS_WITH, "bl", {"blue", "black"}),
        (Match.NOT_EQUAL, "blue", {"black", "plum-lu"}),
    ],
)
def test_a_rule_compares_a_tag(match: Match, value: str, teams: set[str]) -> None:
    roles = PoolRoles(USERS, GUESTS, [rule(match, value)])
    chosen = {team for team in ("blue", "black", "plum-lu") if choose_role(roles, of_team(team), None) == BLUE}
    assert chosen == teams
    assert choose_role(roles, USER, None) == USERS  # the user has no such tag


def test_the_first_matching_rule_gives_the_role() -> None:
    rules = [
        rule(Match.EQUALS, "red", role_arn=RED),
        rule(Match.CONTAINS, "e"),
        rule(Match.CONTAINS, "r", role_arn=RED),
    ]
    assert choose_role(PoolRoles(USERS, rules=rules), of_team("blue"), None) == BLUE
    assert choose_role(PoolRoles(USERS, rules=rules), of_team("red"), None) == RED


@pytest.mark.parametrize(
    ("claim", "match", "value", "matches"),
    [
        ("sub", Match.EQUALS, "eu-west-1:2", True),
        ("amr", Match.EQUALS, "login.example.test", True),
        ("amr", Match.NOT_EQUAL, "login.example.test", False),
        ("amr", Match.NOT_EQUAL, "other.example.test", True),
        ("exp", Match.CONTAINS, "1", False),
        ("none", Match.NOT_EQUAL, "x", False),
    ],
)
def test_a_rule_compares_claims(claim: str, match: Match, value: str, matches: bool) -> None:  # noqa: FBT001
    assert rule(match, value, claim).matches({**USER, "exp": 1}) is matches


def test_a_token_without_a_matching_rule_is_denied_if_the_pool_denies() -> None:
    roles = PoolRoles(USERS, GUESTS, [rule(Match.EQUALS, "blue")], denies=True)
    text = "The ambiguous role mapping rules for: login.example.test denied this request."
    with pytest.raises(NotAuthorized, match=text):
        choose_role(roles, USER, None)
    assert choose_role(roles, of_team("blue"), None) == BLUE
    assert choose_role(roles, GUEST, None) == GUESTS


def test_only_a_role_of_a_matching_rule_can_be_requested() -> None:
    rules = [rule(Match.CONTAINS, "e"), rule(Match.STARTS_WITH, "b", role_arn=RED)]
    roles = PoolRoles(USERS, GUESTS, rules)
    assert choose_role(roles, of_team("blue"), RED) == RED
    for claims, asked in ((of_team("red"), RED), (of_team("blue"), USERS), (USER, GUESTS), (GUEST, USERS)):
        with pytest.raises(NotAuthorized):
            choose_role(roles, claims, asked)
    assert choose_role(roles, USER, USERS) == USERS


PREFERRED, ROLES = "cognito:preferred_role", "cognito:roles"


@pytest.mark.parametrize(
    ("claims", "asked", "role"),
    [
        ({PREFERRED: BLUE, ROLES: [RED, BLUE]}, None, BLUE),
        ({PREFERRED: BLUE, ROLES: [RED, BLUE]}, RED, RED),
        ({PREFERRED: BLUE}, BLUE, BLUE),
        ({ROLES: [RED, BLUE]}, None, USERS),
        ({ROLES: [RED, BLUE]}, BLUE, BLUE),
        ({}, None, USERS),
        ({PREFERRED: 7, ROLES: {"a": RED}}, None, USERS),
    ],
)
def test_a_token_of_a_user_pool_may_name_the_role(claims: dict[str, Any], asked: str | None, role: str) -> None:
    assert choose_role(PoolRoles(USERS, GUESTS, by_token=True), {**USER, **claims}, asked) == role


@pytest.mark.parametrize("named", ["\ud800", f"{BLUE}\udfff", f"{BLUE}\u00fc"])
def test_a_role_name_that_cannot_exist_is_not_used(named: str) -> None:
    """JSON can contain half of a surrogate pair, but requests to STS and audit logs cannot."""
    roles = PoolRoles(USERS, GUESTS, by_token=True)
    with pytest.raises(InvalidIdentityPoolConfiguration, match="Check assigned IAM roles for this pool"):
        choose_role(roles, {**USER, PREFERRED: named}, None)


def test_roles_in_a_token_are_used_only_if_the_pool_allows_it() -> None:
    named = {**USER, PREFERRED: BLUE, ROLES: [RED]}
    assert choose_role(PoolRoles(USERS), named, None) == USERS
    for roles, claims, asked in (
        (PoolRoles(USERS), named, RED),
        (PoolRoles(USERS, by_token=True), named, "arn:aws:iam::123456789012:role/other"),
        (PoolRoles(USERS, by_token=True, denies=True), {**USER, ROLES: [RED]}, None),
    ):
        with pytest.raises(NotAuthorized):
            choose_role(roles, claims, asked)


def test_a_guest_gets_the_unauthenticated_role_if_tokens_select_roles() -> None:
    assert choose_role(PoolRoles(USERS, GUESTS, by_token=True), GUEST, None) == GUESTS


USER_POOL = "cognito-idp.eu-west-1.amazonaws.com/p"
RULES = {"Rules": [{"Claim": TEAM, "MatchType": "Equals", "Value": "blue", "RoleARN": BLUE}]}
GIVEN = {
    "Roles": {"authenticated": USERS, "unauthenticated": GUESTS},
    "RoleMappings": {
        "login.example.test": {"Type": "Rules", "AmbiguousRoleResolution": "Deny", "RulesConfiguration": RULES},
        f"{USER_POOL}:client": {"Type": "Token", "AmbiguousRoleResolution": "Deny", "RulesConfiguration": RULES},
        f"{USER_POOL}:admin": {
            "Type": "Rules",
            "AmbiguousRoleResolution": "AuthenticatedRole",
            "RulesConfiguration": RULES,
        },
    },
}


@pytest.mark.parametrize(
    ("provider", "client", "expected"),
    [
        ("login.example.test", "", PoolRoles(USERS, GUESTS, [rule(Match.EQUALS, "blue")], denies=True)),
        ("login.example.test", "client", PoolRoles(USERS, GUESTS, [rule(Match.EQUALS, "blue")], denies=True)),
        (USER_POOL, "client", PoolRoles(USERS, GUESTS, [], denies=True, by_token=True)),
        (USER_POOL, "admin", PoolRoles(USERS, GUESTS, [rule(Match.EQUALS, "blue")])),
        (USER_POOL, "other", PoolRoles(USERS, GUESTS, [])),
        (USER_POOL, "", PoolRoles(USERS, GUESTS, [], denies=True)),
        ("accounts.google.com", "client", PoolRoles(USERS, GUESTS, [])),
        ("", "", PoolRoles(USERS, GUESTS, [])),
    ],
)
def test_roles_are_selected_by_login_provider_and_client(provider: str, client: str, expected: PoolRoles) -> None:
    assert pool_roles(GIVEN, provider, client) == expected


def test_a_pool_may_have_no_roles() -> None:
    assert pool_roles({}, "login.example.test", "") == PoolRoles(None, None, [])


def test_the_first_method_after_authenticated_is_the_provider() -> None:
    assert (provider_of(USER), provider_of(GUEST)) == ("login.example.test", "")
