"""The claims of a token, in the order and format of Cognito's tokens."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tokend_server.engines.local.pool import LocalPool
from tokend_server.engines.local.providers import is_user_pool
from tokend_server.engines.local.resolution import PresentedLogins
from tokend_server.model import Login, NumericDate

#: The Regions in which Cognito's tokens were seen without the claim of the pool's ARN.
REGIONS_WITHOUT_IDENTITY_POOL_ARN = frozenset({"us-east-1"})

#: The claim of the principal tags (IAM User Guide, "Pass session tags in AWS STS").
TAGS = "https://aws.amazon.com/tags"


def token_claims(
    pool: LocalPool,
    identity_id: str,
    methods: Sequence[str],
    tags: Mapping[str, Any] | None,
    times: tuple[NumericDate, NumericDate],
) -> dict[str, Any]:
    """Returns the claims of a token.

    Args:
        pool: The identity pool, which is the audience.
        identity_id: The subject.
        methods: The `amr` claim: the providers that authenticated the user, and the user's names there.
        tags: The claim with the principal tags; None if there are none.
        times: The times at which the token is issued and expires.

    Returns:
        The claims in the order sub, aud, amr, tags, iss, identity-pool-arn, exp, iat.
    """
    issued_at, expire_time = times
    claims: dict[str, Any] = {"sub": identity_id, "aud": pool.identity_pool_id, "amr": methods}
    if tags:
        claims[TAGS] = tags
    claims["iss"] = pool.issuer
    if pool.identity_pool_arn_claim:
        claims["https://cognito-identity.amazonaws.com/identity-pool-arn"] = pool.arn
    claims["exp"] = expire_time
    claims["iat"] = issued_at
    return claims


def tags_claim(tags: Mapping[str, str]) -> Mapping[str, Any]:
    """Returns the claim with principal tags."""
    return {"principal_tags": {name: [tag] for name, tag in tags.items()}}


def authentication_methods(pool: LocalPool, presented: PresentedLogins) -> list[str]:
    """Returns the `amr` claim (RFC 8176, with Cognito's values) for a developer user."""
    developer = presented.developer
    user = f"{developer.provider_name}:{pool.identity_pool_id}:{developer.user_identifier.reveal()}"
    methods = ["authenticated", developer.provider_name, user]
    if presented.public:
        methods += _of_public(pool, presented.public)
    return methods


def public_methods(pool: LocalPool, users: Iterable[Login]) -> list[str]:
    """Returns the `amr` claim for users of public providers; without any, for a guest."""
    methods = [*_of_public(pool, users)]
    return ["authenticated", *methods] if methods else ["unauthenticated"]


def _of_public(pool: LocalPool, users: Iterable[Login]) -> Iterator[str]:
    for login in users:
        yield login.provider_name
        yield _public_user(pool, login)


def _public_user(pool: LocalPool, login: Login) -> str:
    subject = login.user_identifier.reveal()
    if is_user_pool(login.provider_name):
        return f"{login.provider_name}:CognitoSignIn:{subject}"
    return f"arn:{pool.partition}:iam::{pool.account_id}:oidc-provider/{login.provider_name}:OIDC:{subject}"
