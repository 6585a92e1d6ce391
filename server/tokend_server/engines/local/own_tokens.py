"""Tokens of this service that are presented to it as a login."""

from collections.abc import Callable

from tokend_server.clock import Clock, Deadline
from tokend_server.config.key_times import CLOCK_SKEW
from tokend_server.engines.local.outcomes import Situation, refusal
from tokend_server.engines.local.providers import invalid_login_token, read_login_claims, read_login_token
from tokend_server.model import KeySet, Secret
from tokend_server.oidc.claims import ClaimRules
from tokend_server.oidc.published_keys import PublishedKeys
from tokend_server.oidc.tokens import ALGORITHMS, NotVerified, TokenVerifier, VerifiedClaims

_VERIFIER = TokenVerifier(ALGORITHMS)

_REQUIRED = frozenset({"iat", "amr"})


class OwnTokens:
    """Verifies tokens of this service.

    Args:
        key_set: Returns the current published keys.
        issuer: The `iss` of the tokens.
        clock: The clock for their times.
    """

    def __init__(self, key_set: Callable[[], KeySet], issuer: str, clock: Clock) -> None:
        self._keys = PublishedKeys(key_set)
        self._issuer = issuer
        self._clock = clock

    def verify(self, token: Secret, identity_pool_id: str, identity_id: str, deadline: Deadline) -> VerifiedClaims:
        """Returns the claims of a token that was issued for an identity of a pool and is valid now.

        Raises:
            NotAuthorized: It is not such a token; the text has the reason, in Cognito's words.
        """
        signed = read_login_token(token)
        if signed.claims.get("iss") != self._issuer:
            raise invalid_login_token("Issuer doesn't match providerName")
        try:
            claims = _VERIFIER.verify(signed, self._keys, deadline)
        except NotVerified:
            raise invalid_login_token("Couldn't verify signed token.") from None
        now = self._clock.now()
        rules = ClaimRules(audiences=(identity_pool_id,), skew=CLOCK_SKEW, required=_REQUIRED)
        read = read_login_claims(claims, rules, now)
        if read.expire_time <= now:  # no skew: this service's own clock set it
            raise invalid_login_token(f"Token expired: {int(now)} >= {int(read.expire_time)}")
        if read.subject != identity_id:
            raise refusal(Situation.LOGINS_OF_NO_USE, identity_id)
        return claims
