"""The claims of a token, in the order and shape of Cognito's own."""

from typing import Any

from tokend_server.engines.local.pool import LocalPool
from tokend_server.engines.local.providers import is_user_pool
from tokend_server.engines.local.resolution import PresentedLogins
from tokend_server.model import Login, NumericDate, TokenRequest

#: Regions whose tokens were seen without the claim of the pool's ARN.
REGIONS_WITHOUT_IDENTITY_POOL_ARN = frozenset({"us-east-1"})


def token_claims(
    pool: LocalPool,
    request: TokenRequest,
    identity_id: str,
    presented: PresentedLogins,
    times: tuple[NumericDate, NumericDate],
) -> dict[str, Any]:
    """The claims of a token for a developer user.

    Args:
        pool: The identity pool, which is the audience.
        request: What was asked for: the principal tags come from here.
        identity_id: The subject.
        presented: The logins of this call, which `amr` tells; other logins of the identity stay untold.
        times: When the token is issued and when it expires.

    Returns:
        The claims in the order sub, aud, amr, tags, iss, identity-pool-arn, exp, iat.
    """
    issued_at, expire_time = times
    claims: dict[str, Any] = {
        "sub": identity_id,
        "aud": pool.identity_pool_id,
        "amr": authentication_methods(pool, presented),
    }
    if request.principal_tags:
        tags = {name: [value] for name, value in request.principal_tags.items()}
        claims["https://aws.amazon.com/tags"] = {"principal_tags": tags}
    claims["iss"] = pool.issuer
    if pool.identity_pool_arn_claim:
        claims["https://cognito-identity.amazonaws.com/identity-pool-arn"] = pool.arn
    claims["exp"] = expire_time
    claims["iat"] = issued_at
    return claims


def authentication_methods(pool: LocalPool, presented: PresentedLogins) -> list[str]:
    """The `amr` claim (RFC 8176 names it; the values are Cognito's): who vouched for the user, and as whom."""
    developer = presented.developer
    user = f"{developer.provider_name}:{pool.identity_pool_id}:{developer.user_identifier.reveal()}"
    methods = ["authenticated", developer.provider_name, user]
    for login in presented.public:
        methods += [login.provider_name, _public_user(pool, login)]
    return methods


def _public_user(pool: LocalPool, login: Login) -> str:
    subject = login.user_identifier.reveal()
    if is_user_pool(login.provider_name):
        return f"{login.provider_name}:CognitoSignIn:{subject}"
    return f"arn:{pool.partition}:iam::{pool.account_id}:oidc-provider/{login.provider_name}:OIDC:{subject}"
