"""Requests of AWS's own APIs."""

from collections.abc import Mapping

from tests.fuzz.choices import Choices, Json
from tests.fuzz.inputs.json_text import changed
from tests.fuzz.service import DEVELOPER, GET, LOOKUP, MERGE, PROVIDERS, SHOP_POOL, TAG, UNLINK, USERS

from tokend_server.model import CognitoOperation

_MEMBERS: Mapping[str, Json] = {
    "IdentityPoolId": SHOP_POOL,
    "Logins": {DEVELOPER: USERS[0]},
    "PrincipalTags": {TAG: "a"},
    "TokenDuration": 900,
    "DeveloperUserIdentifier": USERS[0],
    "DeveloperProviderName": DEVELOPER,
    "SourceUserIdentifier": USERS[0],
    "DestinationUserIdentifier": USERS[1],
    "MaxResults": 60,
}


def aws_json(choices: Choices) -> Json:
    """Returns a signed AWS JSON request, with changes to some of its headers after signing."""

    def header() -> Json:
        return choices.one("Authorization", "host", "X-Amz-Target", "Content-Type"), choices.edits()

    return {
        "operation": choices.one(GET, LOOKUP, MERGE, UNLINK),
        "body": changed(choices, _MEMBERS, [*_MEMBERS, "IdentityId", "NextToken"]),
        "edits": choices.edits() if choices.rarely(3) else [],
        "headers": choices.several(header, 2) if choices.rarely(6) else [],
    }


#: Placeholders for the id of a created pool, and of a guest in it.
MADE_POOL, GUEST = "MADE-POOL", "GUEST"

_ROLE = "arn:aws:iam::123456789012:role/app"
_RULE = {"Claim": "sub", "MatchType": "Contains", "Value": "a", "RoleARN": _ROLE}
_MAPPING = {
    "Type": "Rules",
    "AmbiguousRoleResolution": "Deny",
    "RulesConfiguration": {"Rules": [_RULE]},
}
_PUBLIC = PROVIDERS[0]

_OTHER_MEMBERS: Mapping[str, Json] = {
    "IdentityPoolId": MADE_POOL,
    "IdentityId": GUEST,
    "IdentityPoolName": "made",
    "AllowUnauthenticatedIdentities": True,
    "AllowClassicFlow": True,
    "CognitoIdentityProviders": [{"ProviderName": _PUBLIC, "ClientId": "a", "ServerSideTokenCheck": True}],
    "DeveloperProviderName": "login.x",
    "IdentityPoolTags": {TAG: "a"},
    "Tags": {TAG: "b"},
    "TagKeys": [TAG],
    "ResourceArn": f"arn:aws:cognito-identity:eu-west-1:000000000000:identitypool/{MADE_POOL}",
    "Roles": {"authenticated": _ROLE, "unauthenticated": _ROLE},
    "RoleMappings": {_PUBLIC: _MAPPING},
    "IdentityProviderName": _PUBLIC,
    "PrincipalTags": {TAG: "sub"},
    "UseDefaults": False,
    "MaxResults": 10,
    "IdentityIdsToDelete": ["eu-west-1:1"],
    "HideDisabled": True,
}


def aws_operation(choices: Choices) -> Json:
    """Returns a request for an operation that the contract lacks, with changes to texts within its members."""
    names = [*_OTHER_MEMBERS, "Logins", "LoginsToRemove", "CustomRoleArn", "NextToken", "AccountId"]
    return {
        "operation": choices.one(*(name for name in CognitoOperation if name != CognitoOperation.DELETE_IDENTITY_POOL)),
        "body": changed(choices, _OTHER_MEMBERS, names),
        "edits": choices.edits() if choices.rarely(2) else [],
    }


_PARAMETERS_OF_STS: Mapping[str, str] = {
    "Action": "AssumeRoleWithWebIdentity",
    "Version": "2011-06-15",
    "RoleArn": _ROLE,
    "RoleSessionName": "fuzz",
    "WebIdentityToken": "a.b.c",
    "DurationSeconds": "900",
    "Policy": "{}",
    "PolicyArns.member.1.arn": _ROLE,
}


def sts_query(choices: Choices) -> Json:
    """Returns an AssumeRoleWithWebIdentity request whose parameters are changed, missing or duplicated."""
    parameters = list(_PARAMETERS_OF_STS.items())
    for _ in range(choices.number(0, 3)):
        name = choices.text() if choices.rarely(8) else choices.one(*_PARAMETERS_OF_STS)
        parameters = [pair for pair in parameters if pair[0] != name or choices.rarely(4)]
        if not choices.rarely(3):
            parameters.append((name, choices.text(40)))
    return {
        "parameters": [list(pair) for pair in parameters],
        "edits": choices.edits() if choices.rarely(3) else [],
        "method": choices.one("POST", "GET"),
        "type": "application/json" if choices.rarely(12) else "application/x-www-form-urlencoded",
        "accept": choices.one("", "application/json", "*/*", choices.latin()),
    }


def aws_signature(choices: Choices) -> Json:
    """Returns a request that is signed in its header or its query, and then changed."""
    return {
        "is_presigned": bool(choices.number(0, 1)),
        "expires": choices.number(1, 604_800),
        "late": choices.one(0, 0, 299, 301, -301, 604_801),
        "target": choices.edits() if choices.rarely(2) else [],
        "headers": [
            [choices.one("host", "Content-Type", "X-Amz-Target", "Authorization"), choices.edits()]
            for _ in range(choices.number(0, 2))
        ],
        "more": [[choices.one("X-Amz-Security-Token", "X-Amz-Date", "authorization", "x-amz-x"), choices.latin()]]
        if choices.rarely(4)
        else [],
    }
