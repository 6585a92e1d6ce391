"""The reasons for which callers' tokens are refused, their metric, and their rate-limited log lines."""

import logging
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

from tokend_server.clock import Clock
from tokend_server.oidc.claims import Problem
from tokend_server.token_bucket import TokenBucket

#: The rate of log lines a second, and the burst, for each cause and issuer; metrics count all refusals.
LINES_PER_SECOND = 0.1
LINES_AT_ONCE = 5

_log = logging.getLogger(__name__)


class Refusal(StrEnum):
    """The reason for which a token is refused; its value is the metric label and the text in the log.

    SECURITY.md lists all of them.
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


#: The refusals for problems of claims; every problem of `aud` is `AUDIENCE`.
REFUSALS_BY_PROBLEM: Mapping[Problem, Refusal] = {
    Problem.MISSING: Refusal.CLAIMS,
    Problem.MALFORMED: Refusal.CLAIMS,
    Problem.EXPIRED: Refusal.EXPIRED,
    Problem.NOT_YET_VALID: Refusal.NOT_YET_VALID,
    Problem.FOR_OTHERS: Refusal.AUDIENCE,
}


class TokenRefused(Exception):
    """Raised when a token does not identify the caller.

    Attributes:
        refusal: The reason.
        issuer: The name of its issuer in the configuration; empty if it is not known.
        detail: The claim and its problem, without contents of the token.
        retry_after: Seconds after which to retry with the same token, if its key is missing.
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
    """Counts and logs refusals. Each cause and issuer has its own limit, so that a flood of one does not hide others.

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
        """Counts a refusal, and logs it within the limit of its cause and issuer."""
        self._on_refused(refused.refusal)
        if self._lines[refused.issuer, refused.refusal].take() == 0:
            of = f" of issuer {refused.issuer}" if refused.issuer else ""
            detail = f" ({refused.detail})" if refused.detail else ""
            _log.info("A caller's token%s was refused: %s%s", of, refused.refusal, detail)
