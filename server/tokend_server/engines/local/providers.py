"""Public logins: the verification of users' ID tokens from OpenID Connect providers.

The rules are those of OpenID Connect Core 1.0, section 3.1.3.7, and of the Cognito Developer Guide's pages on OpenID
Connect providers; the texts are Cognito's.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tokend_server.clock import Clock, Deadline
from tokend_server.engines.local.outcomes import Situation, refusal
from tokend_server.errors import LoginProviderUnavailable, NotAuthorized
from tokend_server.model import NumericDate, Secret
from tokend_server.oidc.claims import ClaimRefused, ClaimRules, Claims, Problem, read_claims
from tokend_server.oidc.documents import KeySource
from tokend_server.oidc.issuers import Issuers
from tokend_server.oidc.keys import KeyNotKnownYet, KeysUnavailable, ProviderKeys
from tokend_server.oidc.outbound import IssuerHttp
from tokend_server.oidc.tokens import (
    MalformedToken,
    NotVerified,
    SignedToken,
    TokenVerifier,
    UnverifiedClaims,
    VerifiedClaims,
    read_token,
)

#: Providers whose tokens are not ID tokens: only the provider itself can verify them.
OPAQUE_PROVIDERS = frozenset({"graph.facebook.com", "www.amazon.com", "api.twitter.com", "www.digits.com"})

_VERIFIER = TokenVerifier(frozenset({"RS256", "RS384", "RS512", "ES256", "ES384", "ES512"}))

#: The required claims of ID tokens (OpenID Connect Core 1.0, section 2).
_REQUIRED = frozenset({"iat"})

#: The key of this service's own tokens in `Logins`.
COGNITO_IDENTITY = "cognito-identity.amazonaws.com"

GOOGLE = "accounts.google.com"

_USER_POOL = re.compile(r"cognito-idp\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/.+")


def is_user_pool(provider_name: str) -> bool:
    """Returns whether a key in `Logins` is that of a Cognito user pool: its issuer without https://."""
    return _USER_POOL.fullmatch(provider_name) is not None


@dataclass(frozen=True, slots=True)
class ProviderUser:
    """A user of a public provider.

    Attributes:
        subject: The provider's id of the user, unique within the provider.
        claims: The claims of the user's token.
    """

    subject: Secret
    claims: Mapping[str, Any] = field(repr=False)


class LoginProvider(Protocol):
    """A public provider whose tokens authenticate users."""

    def verify(self, token: Secret, deadline: Deadline) -> ProviderUser:
        """Verifies a login token.

        Returns:
            The user of the token.

        Raises:
            NotAuthorized: The token is not accepted, for the reason in the text.
            LoginProviderUnavailable: The provider's keys are not known and cannot be fetched now.
            DeadlineExceeded: The keys were not fetched before the deadline.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIdConnectProvider:
    """An OpenID Connect provider.

    Attributes:
        provider_name: Its key in `Logins`.
        issuers: The accepted values of `iss`.
        own_issuer: The `iss` of this service's own tokens, which are not accepted as logins.
        client_ids: The client ids, at least one, of the applications whose users may log in.
        keys: Its keys.
        clock: The clock for tokens' times.
        skew: Seconds that its clock may differ from this one's.

    Raises:
        ValueError: There is no client id.
    """

    provider_name: str
    issuers: tuple[str, ...]
    own_issuer: str
    client_ids: tuple[str, ...]
    keys: ProviderKeys
    clock: Clock
    skew: float

    def __post_init__(self) -> None:
        if not self.client_ids:
            raise ValueError("an OpenID Connect provider needs a client id")

    def verify(self, token: Secret, deadline: Deadline) -> ProviderUser:
        signed = read_login_token(token)
        self._check_issuer(signed.claims)
        claims = self._verify_signature(signed, deadline)
        rules = ClaimRules(audiences=self.client_ids, skew=self.skew, required=_REQUIRED, by_authorized_party=True)
        subject = read_login_claims(claims, rules, self.clock.now()).subject
        if is_user_pool(self.provider_name) and claims.get("token_use", "id") != "id":
            raise _malformed()
        return ProviderUser(Secret(subject), claims)

    def _check_issuer(self, claims: UnverifiedClaims) -> None:
        issuer = claims.get("iss")
        if issuer is None:
            raise _missing("iss")
        if issuer in (f"https://{COGNITO_IDENTITY}", self.own_issuer):
            raise refusal(Situation.COGNITO_TOKEN_AS_LOGIN, self.provider_name)
        if issuer not in self.issuers:
            raise invalid_login_token("Issuer doesn't match providerName")

    def _verify_signature(self, token: SignedToken, deadline: Deadline) -> VerifiedClaims:
        try:
            return _VERIFIER.verify(token, self.keys, deadline)
        except NotVerified:
            raise invalid_login_token("Couldn't verify signed token.") from None
        except KeyNotKnownYet as failure:
            raise LoginProviderUnavailable(
                f"The key of the login token of {self.provider_name} is not known yet.", retry_after=failure.retry_after
            ) from None
        except KeysUnavailable as failure:
            raise LoginProviderUnavailable(
                f"Login provider {self.provider_name} does not answer.", retry_after=failure.retry_after
            ) from None


def open_id_connect_provider(  # noqa: PLR0913 - all its parts
    provider_name: str,
    client_ids: tuple[str, ...],
    issuer: str | None = None,
    *,
    own_issuer: str,
    skew: float,
    http: IssuerHttp,
    clock: Clock,
    issuers: Issuers,
) -> OpenIdConnectProvider:
    """Builds a provider from an identity pool's settings.

    Args:
        provider_name: Its key in `Logins`.
        client_ids: The client ids, at least one, of the applications whose users may log in.
        issuer: The issuer in its tokens and its discovery document; by default https:// and the provider's name.
        own_issuer: The `iss` of this service's own tokens.
        skew: Seconds that the provider's clock may differ from this one's.
        http: Fetches its keys.
        clock: The clock for its tokens' times.
        issuers: Makes its keys.

    Raises:
        ValueError: There is no client id, or the issuer is neither an https URL nor an http URL of this host.
    """
    issuer = issuer or f"https://{provider_name}"
    return OpenIdConnectProvider(
        provider_name=provider_name,
        # Google issues both forms: https://developers.google.com/identity/openid-connect/openid-connect#validatinganidtoken
        issuers=(issuer, GOOGLE) if provider_name == GOOGLE else (issuer,),
        own_issuer=own_issuer,
        client_ids=client_ids,
        keys=issuers.keys(f"login provider {provider_name}", KeySource(issuer=issuer, http=http)),
        clock=clock,
        skew=skew,
    )


def read_login_token(token: Secret) -> SignedToken:
    """Parses a login token, as `read_token`.

    Raises:
        NotAuthorized: It is malformed.
    """
    try:
        return read_token(token)
    except MalformedToken:
        raise _malformed() from None


def read_login_claims(claims: VerifiedClaims, rules: ClaimRules, now: float) -> Claims:
    """Validates the claims of a login token, as `read_claims`.

    Raises:
        NotAuthorized: A claim is not acceptable.
    """
    try:
        return read_claims(claims, rules, now)
    except ClaimRefused as refused:
        raise _refusal(refused, claims, now) from None


def _refusal(refused: ClaimRefused, claims: VerifiedClaims, now: float) -> NotAuthorized:
    match refused.problem:
        case Problem.FOR_OTHERS:
            return NotAuthorized("Token is not from a supported provider of this identity pool.")
        case Problem.EXPIRED:
            return invalid_login_token(f"Token expired: {NumericDate(now)} >= {NumericDate(claims['exp'])}")
        case Problem.MISSING:
            return _missing(refused.claim)
        case Problem.MALFORMED | Problem.NOT_YET_VALID:
            return invalid_login_token(f"Invalid claim: {refused.claim}")


def _missing(claim: str) -> NotAuthorized:
    return invalid_login_token(f"Missing a required claim: {claim}")


def _malformed() -> NotAuthorized:
    return invalid_login_token("Not a valid OpenId Connect identity token.")


def invalid_login_token(text: str) -> NotAuthorized:
    """Returns the error for an invalid login token."""
    return NotAuthorized(f"Invalid login token. {text}")
