"""Identifies callers by JSON Web Tokens, such as those of Kubernetes service accounts."""

import hashlib
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import NamedTuple

from cachetools import LRUCache

from tokend_server.access.authentication.bearer import bearer_token
from tokend_server.access.authentication.presented import PresentedCredentials
from tokend_server.access.authentication.refusals import REFUSALS_BY_PROBLEM, Refusal, Refusals, TokenRefused
from tokend_server.callers.names import name_by_token
from tokend_server.clock import Clock, Deadline
from tokend_server.errors import DeadlineExceeded, EngineUnavailable
from tokend_server.model import Secret
from tokend_server.oidc.claims import ClaimRefused, ClaimRules, Claims, read_claims
from tokend_server.oidc.documents import KeySource
from tokend_server.oidc.issuers import Issuers
from tokend_server.oidc.keys import KeyNotKnownYet, KeysUnavailable, ProviderKeys
from tokend_server.oidc.outbound import IssuerHttp
from tokend_server.oidc.tokens import (
    HeaderRefused,
    KeyUnknown,
    MalformedToken,
    NotVerified,
    SignedToken,
    TokenVerifier,
    VerifiedClaims,
    read_token,
)

#: The maximum number of verified tokens that are cached.
MAX_REMEMBERED = 10_000

#: Seconds that a verified token is cached; its key may be withdrawn in the meantime.
MAX_VERIFICATION_AGE = 60.0

#: Seconds after which an issuer's keys are stale, and after which they are no longer used; see `ProviderKeys`.
KEYS_MAX_AGE = 300.0
KEYS_TOO_OLD = 600.0

#: Seconds that a call waits for an issuer's keys.
KEYS_TIMEOUT = 2.0

#: Without a colon, so that names of callers of different issuers cannot be equal.
_ISSUER_NAME = re.compile(r"[A-Za-z0-9_.-]+")

#: The refusals that are not the caller's fault, with the texts of their errors.
_OUTAGES = {
    Refusal.KEY_NOT_KNOWN_YET: "The key of the caller's token is not known yet.",
    Refusal.KEYS_UNAVAILABLE: "The issuer of the caller's token does not answer.",
}


class _Verified(NamedTuple):
    caller: str
    expire_time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIssuer:
    """An issuer of callers' tokens.

    Attributes:
        name: The name that follows `jwt:` in the names of its callers.
        issuer: The exact `iss` of its tokens.
        audiences: The accepted values of `aud`, which are this service's names among the issuer's users.
        verifier: Verifies tokens with the algorithms that it uses.
        keys: Its keys.
        clock: The clock for its tokens' times.
        skew: Seconds that its clock may differ from this one's.
        keys_timeout: Seconds that a call waits for the keys.

    Raises:
        ValueError: There is no audience, or the name has characters other than letters, digits, `_`, `.` and `-`.
    """

    name: str
    issuer: str
    audiences: Sequence[str]
    verifier: TokenVerifier
    keys: ProviderKeys
    clock: Clock
    skew: float
    keys_timeout: float = KEYS_TIMEOUT

    def __post_init__(self) -> None:
        if not _ISSUER_NAME.fullmatch(self.name):
            raise ValueError("the name of an issuer may have only letters, digits, _, . and -")
        if not self.audiences or "" in self.audiences:
            raise ValueError(f"issuer {self.name} needs an audience: its tokens for other services must be refused")

    def verify(self, token: SignedToken, deadline_at: float = inf) -> _Verified:
        """Verifies a token of this issuer, for a caller who waits until a monotonic reading of the clock.

        Raises:
            TokenRefused: It does not identify the caller.
            DeadlineExceeded: The caller's deadline passed before the token was verified.
        """
        claims = self._read_claims(self._verify_signature(token, deadline_at))
        return _Verified(name_by_token(self.name, claims.subject), claims.expire_time)

    def _verify_signature(self, token: SignedToken, deadline_at: float) -> VerifiedClaims:
        keys_timeout_at = self.clock.monotonic() + self.keys_timeout
        deadline = Deadline(self.clock, min(keys_timeout_at, deadline_at))
        try:
            return self.verifier.verify(token, self.keys, deadline)
        except HeaderRefused:
            raise TokenRefused(Refusal.ALGORITHM, self.name) from None
        except KeyUnknown:
            raise TokenRefused(Refusal.KEY, self.name) from None
        except NotVerified:
            raise TokenRefused(Refusal.SIGNATURE, self.name) from None
        except KeyNotKnownYet as failure:
            raise TokenRefused(Refusal.KEY_NOT_KNOWN_YET, self.name, retry_after=failure.retry_after) from None
        except KeysUnavailable as failure:
            raise TokenRefused(Refusal.KEYS_UNAVAILABLE, self.name, retry_after=failure.retry_after) from None
        except DeadlineExceeded:
            if deadline_at < keys_timeout_at:
                raise
            raise TokenRefused(Refusal.KEYS_UNAVAILABLE, self.name, retry_after=1.0) from None

    def _read_claims(self, claims: VerifiedClaims) -> Claims:
        try:
            return read_claims(claims, ClaimRules(audiences=self.audiences, skew=self.skew), self.clock.now())
        except ClaimRefused as refused:
            refusal = Refusal.AUDIENCE if refused.claim == "aud" else REFUSALS_BY_PROBLEM[refused.problem]
            raise TokenRefused(refusal, self.name, detail=str(refused)) from None


def token_issuer(  # noqa: PLR0913 - the settings of an issuer
    name: str,
    *,
    issuer: str,
    audiences: Sequence[str],
    algorithms: Sequence[str],
    jwks_url: str | None = None,
    bearer_token_file: Path | None = None,
    skew: float,
    http: IssuerHttp,
    clock: Clock,
    issuers: Issuers,
) -> TokenIssuer:
    """Builds an issuer from its settings.

    Args:
        name: The name that follows `jwt:` in the names of its callers.
        issuer: The exact `iss` of its tokens, and the URL of its discovery document.
        audiences: The accepted values of `aud`, at least one.
        algorithms: The accepted values of `alg`, at least one.
        jwks_url: The URL of its keys, if its discovery document is not used.
        bearer_token_file: The file with the bearer token that it requires for its documents.
        skew: Seconds that its clock may differ from this one's.
        http: Fetches its documents: `IssuerHttp` with the trusted authorities.
        clock: The clock for its tokens' times.
        issuers: Makes its keys.

    Raises:
        ValueError: A setting is missing or wrong, as in `TokenIssuer`, `TokenVerifier` and `KeySource`.
    """
    source = KeySource(issuer=issuer, http=http, jwks_url=jwks_url, bearer_token_file=bearer_token_file)
    return TokenIssuer(
        name=name,
        issuer=issuer,
        audiences=tuple(audiences),
        verifier=TokenVerifier(algorithms),
        keys=issuers.keys(f"callers' issuer {name}", source, max_age=KEYS_MAX_AGE, too_old=KEYS_TOO_OLD),
        clock=clock,
        skew=skew,
    )


class JwtAuthenticator:
    """Identifies callers by the bearer token in the call; callers are named `jwt:ISSUER-NAME:SUBJECT`.

    Verified tokens are cached for at most a minute, and never after their `exp`.

    Args:
        issuers: The accepted issuers.
        clock: The time.
        on_refused: Called with the cause of every refusal.
        max_token_bytes: The maximum length of a token in bytes.
        max_remembered: The maximum number of cached tokens; the least recently used one is evicted.

    Raises:
        ValueError: Two issuers have the same `iss` or the same name.
    """

    def __init__(
        self,
        issuers: Sequence[TokenIssuer],
        clock: Clock,
        on_refused: Callable[[Refusal], None],
        *,
        max_token_bytes: int,
        max_remembered: int = MAX_REMEMBERED,
    ) -> None:
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        if not len(self._issuers) == len({issuer.name for issuer in issuers}) == len(issuers):
            raise ValueError("each issuer of tokens needs a unique name and a unique iss")
        self._refusals = Refusals((issuer.name for issuer in issuers), clock, on_refused)
        self._max_token_bytes = max_token_bytes
        self._remembered = _VerifiedTokens(max_remembered, clock)

    def __call__(self, presented: PresentedCredentials) -> str | None:
        """Returns the name of the token's subject; None if there is no token, or it identifies no caller.

        Raises:
            CallerUnauthenticated: The call has several authorizations.
            EngineUnavailable: The token's key is not known, and cannot be fetched now.
            DeadlineExceeded: The caller's deadline passed before the key was fetched.
        """
        token = bearer_token(presented)
        if token is None or "." not in token.reveal():
            return None
        try:
            return self._caller(token, presented.deadline_at)
        except TokenRefused as refused:
            self._refusals.record(refused)
            if refused.retry_after is None:
                return None
            raise EngineUnavailable(_OUTAGES[refused.refusal], retry_after=refused.retry_after) from None

    def _caller(self, token: Secret, deadline_at: float) -> str:
        if len(token.reveal()) > self._max_token_bytes:
            raise TokenRefused(Refusal.TOO_LONG)
        digest = hashlib.sha256(token.reveal().encode()).digest()
        verified = self._remembered.get(digest)
        if verified is None:
            verified = self._verify(token, deadline_at)
            self._remembered.put(digest, verified)
        return verified.caller

    def _verify(self, token: Secret, deadline_at: float) -> _Verified:
        try:
            signed = read_token(token)
        except MalformedToken:
            raise TokenRefused(Refusal.MALFORMED) from None
        name = signed.claims.get("iss")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise TokenRefused(Refusal.ISSUER)
        return issuer.verify(signed, deadline_at)


class _VerifiedTokens:
    """A cache of the tokens that were verified within the last minute, by digest.

    Ages are measured by both clocks, so that a wall clock that is set back does not extend them.
    """

    def __init__(self, max_tokens: int, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens: LRUCache[bytes, tuple[_Verified, float]] = LRUCache(max_tokens)

    def get(self, digest: bytes) -> _Verified | None:
        with self._lock:
            held = self._tokens.get(digest)
        if held is None:
            return None
        verified, forget_at = held
        fresh = self._clock.monotonic() < forget_at and self._clock.now() < verified.expire_time
        return verified if fresh else None

    def put(self, digest: bytes, verified: _Verified) -> None:
        with self._lock:
            self._tokens[digest] = verified, self._clock.monotonic() + MAX_VERIFICATION_AGE
