"""Callers who show a JSON Web Token, such as that of a Kubernetes service account."""

import hashlib
import logging
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from pathlib import Path
from typing import NamedTuple

from cachetools import LRUCache
from joserfc.errors import ExpiredTokenError, InvalidClaimError, MissingClaimError
from joserfc.jwt import JWTClaimsRegistry

from tokend_server.callers.bearer import bearer_token
from tokend_server.callers.presented import Presented
from tokend_server.clock import Clock, Deadline
from tokend_server.errors import DeadlineExceeded, EngineUnavailable
from tokend_server.model import NumericDate, Secret
from tokend_server.oidc.documents import KeySource
from tokend_server.oidc.issuers import Issuers
from tokend_server.oidc.keys import KeyNotKnownYet, KeysUnavailable, ProviderKeys
from tokend_server.oidc.outbound import IssuerHttp
from tokend_server.oidc.tokens import (
    HeaderRefused,
    MalformedToken,
    NotVerified,
    SignedToken,
    TokenVerifier,
    VerifiedClaims,
    read_token,
)
from tokend_server.token_bucket import TokenBucket

#: Seconds that an issuer's clock may differ from this one's.
SKEW = 60

MAX_TOKEN_CHARACTERS = 8192

#: Lines of the log for each cause of refusals, after a few at once; metrics count them all.
LINES_PER_SECOND = 0.1

#: How many verified tokens are remembered.
MAX_REMEMBERED = 10_000

#: Seconds that a verified token is remembered: its key may be withdrawn meanwhile.
REMEMBERED_FOR = 60.0

#: Seconds after which an issuer's keys are stale, and after which they are too old; see `ProviderKeys`.
KEYS_MAX_AGE = 300.0
KEYS_TOO_OLD = 600.0

#: Seconds that a call waits for an issuer's keys.
PATIENCE = 2.0

#: The last second of the year 9999, after which no date has a name.
_LAST_DATE: NumericDate = 253_402_300_799

#: The names of service accounts in Kubernetes may need more than the 255 characters of OpenID Connect Core, section 2.
_SUBJECT = re.compile(r"[!-~]{1,1024}")

#: Without a colon, so that no subject of one issuer looks like one of another.
_ISSUER_NAME = re.compile(r"[A-Za-z0-9_.-]+")

_log = logging.getLogger(__name__)


class Refusal(StrEnum):
    """Why a token does not tell who calls; the value is the metric label."""

    MALFORMED = "malformed"
    ISSUER = "issuer"
    ALGORITHM = "algorithm"
    SIGNATURE = "signature"
    EXPIRED = "expired"
    AUDIENCE = "audience"
    CLAIMS = "claims"


class _Refused(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


class _Verified(NamedTuple):
    caller: str
    expire_time: NumericDate


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIssuer:
    """An issuer of callers' tokens.

    Attributes:
        name: What the names of its callers have after `jwt:`.
        issuer: The exact `iss` of its tokens.
        audiences: The accepted values of `aud`: what the issuer's users call this service.
        verifier: Verifies by the algorithms that it uses.
        keys: Its keys.
        clock: The time that its tokens are judged by.
        patience: Seconds that a call waits for the keys.

    Raises:
        ValueError: There is no audience, or the name has other characters than letters, digits, `_`, `.` and `-`.
    """

    name: str
    issuer: str
    audiences: Sequence[str]
    verifier: TokenVerifier
    keys: ProviderKeys
    clock: Clock
    patience: float = PATIENCE

    def __post_init__(self) -> None:
        if not _ISSUER_NAME.fullmatch(self.name):
            raise ValueError("the name of an issuer has letters, digits, _, . and - only")
        if not self.audiences or "" in self.audiences:
            raise ValueError(f"issuer {self.name} needs an audience: its tokens for others must not count here")

    def verify(self, token: SignedToken, waits_until: float = inf) -> _Verified:
        """Verifies a token that names this issuer, for a caller who waits until a monotonic reading of the clock."""
        claims = self._verify_signature(token, waits_until)
        self._check_claims(claims)
        return _Verified(f"jwt:{self.name}:{claims['sub']}", claims["exp"])

    def _verify_signature(self, token: SignedToken, waits_until: float) -> VerifiedClaims:
        patient_until = self.clock.monotonic() + self.patience
        deadline = Deadline(self.clock, min(patient_until, waits_until))
        try:
            return self.verifier.verify(token, self.keys, deadline)
        except HeaderRefused:
            raise _Refused(Refusal.ALGORITHM) from None
        except NotVerified:
            raise _Refused(Refusal.SIGNATURE) from None
        except KeyNotKnownYet as failure:
            raise EngineUnavailable(
                "The key of the caller's token is not known yet.", retry_after=failure.retry_after
            ) from None
        except KeysUnavailable as failure:
            raise _unavailable(failure.retry_after) from None
        except DeadlineExceeded:
            if waits_until < patient_until:
                raise
            raise _unavailable(retry_after=1.0) from None

    def _check_claims(self, claims: VerifiedClaims) -> None:
        if not _are_well_formed(claims):
            raise _Refused(Refusal.CLAIMS)
        rules = JWTClaimsRegistry(
            now=NumericDate(self.clock.now()), leeway=SKEW, aud={"essential": True, "values": list(self.audiences)}
        )
        try:
            rules.validate(claims)
        except ExpiredTokenError:
            raise _Refused(Refusal.EXPIRED) from None
        except (InvalidClaimError, MissingClaimError) as error:
            raise _Refused(Refusal.AUDIENCE if error.claim == "aud" else Refusal.CLAIMS) from None


def token_issuer(  # noqa: PLR0913 -- as many as an issuer has settings
    name: str,
    *,
    issuer: str,
    audiences: Sequence[str],
    algorithms: Sequence[str],
    jwks_url: str | None = None,
    bearer_token_file: Path | None = None,
    http: IssuerHttp,
    clock: Clock,
    issuers: Issuers,
) -> TokenIssuer:
    """Builds an issuer from its settings.

    Args:
        name: What the names of its callers have after `jwt:`.
        issuer: The exact `iss` of its tokens, and the URL of its discovery document.
        audiences: The accepted values of `aud`, at least one.
        algorithms: The accepted values of `alg`, at least one.
        jwks_url: Where its keys are, if no discovery document is to be asked.
        bearer_token_file: Holds the bearer token that it demands for its documents.
        http: Fetches its documents: `open_http` with the authorities to be believed.
        clock: The time that its tokens are judged by.
        issuers: Makes its keys.

    Raises:
        ValueError: A setting is missing or wrong, as at `TokenIssuer`, `TokenVerifier` and `KeySource`.
    """
    source = KeySource(issuer=issuer, http=http, jwks_url=jwks_url, bearer_token_file=bearer_token_file)
    return TokenIssuer(
        name=name,
        issuer=issuer,
        audiences=tuple(audiences),
        verifier=TokenVerifier(algorithms),
        keys=issuers.keys(f"callers' issuer {name}", source, max_age=KEYS_MAX_AGE, too_old=KEYS_TOO_OLD),
        clock=clock,
    )


class ByToken:
    """Tells who calls by the token that the call bears; callers are named `jwt:ISSUER-NAME:SUBJECT`.

    Verified tokens are remembered for a minute at most, and never beyond their `exp`.

    Args:
        issuers: The issuers whose tokens count.
        clock: The time.
        on_refused: Called with the reason why a token did not count.
        max_remembered: How many verified tokens are remembered; the least recently used makes room.

    Raises:
        ValueError: Two issuers have the same `iss` or the same name.
    """

    def __init__(
        self,
        issuers: Sequence[TokenIssuer],
        clock: Clock,
        on_refused: Callable[[Refusal], None],
        *,
        max_remembered: int = MAX_REMEMBERED,
    ) -> None:
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        if not len(self._issuers) == len({issuer.name for issuer in issuers}) == len(issuers):
            raise ValueError("every issuer of tokens needs a name and an iss of its own")
        self._on_refused = on_refused
        self._lines = {refusal: TokenBucket(LINES_PER_SECOND, 5, clock) for refusal in Refusal}
        self._remembered = _Memory(max_remembered, clock)

    def __call__(self, presented: Presented) -> str | None:
        """The name of whoever the token speaks for; None also for a token that proves nothing.

        Raises:
            CallerUnauthenticated: The call has several authorizations.
            EngineUnavailable: The issuer's keys are not known and cannot be had now.
            DeadlineExceeded: The caller's time was spent before they came.
        """
        token = bearer_token(presented)
        if token is None or token.reveal().count(".") != 2:  # noqa: PLR2004 -- RFC 7515, section 7.1: three parts
            return None
        try:
            return self._caller(token, presented.waits_until)
        except _Refused as refused:
            if self._lines[refused.refusal].take() == 0:
                _log.info("A caller's token was refused: %s", refused.refusal)
            self._on_refused(refused.refusal)
            return None

    def _caller(self, token: Secret, waits_until: float) -> str:
        if len(token.reveal()) > MAX_TOKEN_CHARACTERS:
            raise _Refused(Refusal.MALFORMED)
        digest = hashlib.sha256(token.reveal().encode()).digest()
        verified = self._remembered.get(digest)
        if verified is None:
            verified = self._verify(token, waits_until)
            self._remembered.put(digest, verified)
        return verified.caller

    def _verify(self, token: Secret, waits_until: float) -> _Verified:
        try:
            signed = read_token(token)
        except MalformedToken:
            raise _Refused(Refusal.MALFORMED) from None
        name = signed.claims.get("iss")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise _Refused(Refusal.ISSUER)
        return issuer.verify(signed, waits_until)


class _Memory:
    """The tokens that were verified within the last minute, by their digests.

    A clock that is set back makes no token younger than it is: both clocks count.
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
            self._tokens[digest] = verified, self._clock.monotonic() + REMEMBERED_FOR


def _are_well_formed(claims: VerifiedClaims) -> bool:
    """Whether the dates are numbers (RFC 7519, section 2) and the subject can stand in a name."""
    subject = claims.get("sub")
    return (
        _is_date(claims.get("exp"))
        and _is_date(claims.get("iat"))
        and ("nbf" not in claims or _is_date(claims["nbf"]))
        and isinstance(subject, str)
        and _SUBJECT.fullmatch(subject) is not None
    )


def _is_date(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LAST_DATE


def _unavailable(retry_after: float) -> EngineUnavailable:
    return EngineUnavailable("The issuer of the caller's token does not answer.", retry_after=retry_after)
