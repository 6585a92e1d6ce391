"""Why callers' tokens are refused: what metrics count, and what the log says in a few lines."""

import logging
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

from tokend_server.clock import Clock
from tokend_server.oidc.claims import Problem
from tokend_server.token_bucket import TokenBucket

#: Lines of the log a second for each cause and issuer, and how many at once after a pause; metrics count all refusals.
LINES_PER_SECOND = 0.1
LINES_AT_ONCE = 5

_log = logging.getLogger(__name__)


class Refusal(StrEnum):
    """Why a token does not show who calls; the value is the metric label, and what the log says.

    SECURITY.md has a table of them.
    """

    TOO_LONG = "too_long"
    MALFORMED = "malformed"
    ISSUER = "issuer"
    ALGORITHM = "algorithm"
    KEY = "key"
    KEY_NOT_KNOWN_YET = "key_not_known_yet"
    KEYS_UNAVAILABLE = "keys_unavailable"
    SIGNATURE = "signature"
    CLAIMS = "claims"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    AUDIENCE = "audience"


#: What it is when something is wrong with a claim; whatever is wrong with `aud` is `AUDIENCE`.
OF_CLAIMS: Mapping[Problem, Refusal] = {
    Problem.MISSING: Refusal.CLAIMS,
    Problem.MALFORMED: Refusal.CLAIMS,
    Problem.EXPIRED: Refusal.EXPIRED,
    Problem.NOT_YET_VALID: Refusal.NOT_YET_VALID,
    Problem.FOR_OTHERS: Refusal.AUDIENCE,
}


class TokenRefused(Exception):
    """Raised when a token does not show who calls.

    Attributes:
        refusal: Why.
        issuer: The name of its issuer in the configuration; empty where that is not known.
        detail: What is wrong with which claim. It holds nothing of the token.
        retry_after: Seconds until the same token may count, where the keys are what is missing.
    """

    def __init__(
        self, refusal: Refusal, issuer: str = "", *, detail: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(refusal)
        self.refusal = refusal
        self.issuer = issuer
        self.detail = detail
        self.retry_after = retry_after


class Refusals:
    """Counts and logs refusals. Each cause and issuer has lines of its own, so that a flood of one hides no other.

    Args:
        issuers: The names of the issuers.
        clock: The time.
        on_refused: Called with the cause of every refusal.
    """

    def __init__(self, issuers: Iterable[str], clock: Clock, on_refused: Callable[[Refusal], None]) -> None:
        self._on_refused = on_refused
        self._lines = {
            (issuer, refusal): TokenBucket(LINES_PER_SECOND, LINES_AT_ONCE, clock)
            for issuer in ("", *issuers)
            for refusal in Refusal
        }

    def record(self, refused: TokenRefused) -> None:
        """Counts a refusal, and logs it unless there were many of its kind."""
        self._on_refused(refused.refusal)
        if self._lines[refused.issuer, refused.refusal].take() == 0:
            of = f" of issuer {refused.issuer}" if refused.issuer else ""
            detail = f" ({refused.detail})" if refused.detail else ""
            _log.info("A caller's token%s was refused: %s%s", of, refused.refusal, detail)
