"""The shapes of an identity pool's members (AWS's model of the service, `IdentityPool` and `RoleMapping`)."""

from collections.abc import Mapping

from tokend_server.aws_json.nested_shapes import Choice, ListOf, MapOf, Structure
from tokend_server.aws_json.shapes import Flag, Shape, Text, TextList, TextMap

#: The maximum number of tags of a pool (Cognito's quota).
MAX_TAGS = 50

ARN = Text(2048, min_length=20)
TAG_KEY = Text(128)
TAGS = TextMap(None, TAG_KEY, Text(256, min_length=0))
PROVIDER_NAME = Text(128)
PRINCIPAL_TAGS = TextMap(50, Text(128), Text(256))

#: The members of a pool without its id.
CREATE_MEMBERS: Mapping[str, Shape] = {
    "IdentityPoolName": Text(128, r"[\w\s+=,.@-]+"),
    "AllowUnauthenticatedIdentities": Flag(),
    "AllowClassicFlow": Flag(),
    "SupportedLoginProviders": TextMap(10, Text(128), Text(128, r"[\w.;_/-]+")),
    "DeveloperProviderName": Text(128, r"[\w._-]+"),
    "OpenIdConnectProviderARNs": TextList(ARN),
    "CognitoIdentityProviders": ListOf(
        Structure(
            {
                "ProviderName": Text(128, r"[\w._:/-]+"),
                "ClientId": Text(128, r"[\w_]+"),
                "ServerSideTokenCheck": Flag(),
            }
        )
    ),
    "SamlProviderARNs": TextList(ARN),
    "IdentityPoolTags": TAGS,
}

ROLES = TextMap(2, Text(128, "(un)?authenticated"), ARN)

_RULE = Structure(
    {
        "Claim": Text(64, r"[\p{L}\p{M}\p{S}\p{N}\p{P}]+"),
        "MatchType": Choice(("Equals", "Contains", "StartsWith", "NotEqual")),
        "Value": Text(128),
        "RoleARN": ARN,
    },
    frozenset({"Claim", "MatchType", "Value", "RoleARN"}),
)

ROLE_MAPPINGS = MapOf(
    10,
    Text(128),
    Structure(
        {
            "Type": Choice(("Token", "Rules")),
            "AmbiguousRoleResolution": Choice(("AuthenticatedRole", "Deny")),
            "RulesConfiguration": Structure({"Rules": ListOf(_RULE, 1, 400)}, frozenset({"Rules"})),
        },
        frozenset({"Type"}),
    ),
)
