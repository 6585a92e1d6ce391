"""Reuse of tokens: a single web page of a user may cause a hundred requests for the same token."""

from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from itertools import count
from typing import NamedTuple, TypeAlias

from tokend_server.clock import Clock, Deadline
from tokend_server.errors import DeadlineExceeded
from tokend_server.model import IdentityOutcome, IssuedToken, TokenRequest
from tokend_server.request_key import request_key
from tokend_server.single_flight import CallTimedOut, SingleFlight, Terms
from tokend_server.token_cache import TokenCache


class TokenSource(StrEnum):
    """The source of a token; its value is the metric label."""

    ISSUED = "issued"
    SHARED = "shared"
    REUSED = "reused"


#: Issues a new token.
Issue: TypeAlias = Callable[[TokenRequest, Deadline], IssuedToken]

#: Returns the token that can be reused now for an earlier request; None if a new one is due.
CurrentToken: TypeAlias = Callable[[], IssuedToken | None]


class SourcedToken(NamedTuple):
    """A token, its source, and a function that returns whether it can be reused."""

    issued: IssuedToken
    source: TokenSource
    current_token: CurrentToken


#: Returns a token for a request, and issues one if necessary.
GetOrIssue: TypeAlias = Callable[[TokenRequest, Deadline, Issue], SourcedToken]


def always_issue(request: TokenRequest, deadline: Deadline, issue: Issue) -> SourcedToken:
    """A `GetOrIssue` that reuses no tokens."""
    return SourcedToken(issue(request, deadline), TokenSource.ISSUED, lambda: None)


class ReusedTokens:
    """Reuses a token until its `refresh_time`, for requests that are equal in every field.

    The caller's authorization is checked before, each time. Of concurrent equal requests only one is made, and the
    others wait for it until their deadlines; if it fails, all of them fail, and nothing is cached.

    Args:
        max_tokens: The maximum number of cached tokens, at least one; the least recently used one is evicted.
        is_published: Returns whether the key of a pool that signed a token is still published.
        clock: The time.
    """

    def __init__(self, max_tokens: int, is_published: Callable[[str, str | None], bool], clock: Clock) -> None:
        self._cache = TokenCache(max_tokens, timedelta(0), clock)
        self._is_published = is_published
        self._clock = clock
        self._flights = SingleFlight()
        self._numbers = count(1)
        self._epochs: dict[str, int] = {}

    def count(self) -> int:
        """The number of cached tokens."""
        return len(self._cache)

    def get_or_issue(self, request: TokenRequest, deadline: Deadline, issue: Issue) -> SourcedToken:
        """A `GetOrIssue`.

        Raises:
            DeadlineExceeded: The deadline passed before there was a token.
            TokendError: The error of `issue`.
        """
        pool = request.identity_pool_id
        epoch = self._epochs.get(pool, 0)
        key = request_key(epoch, request)

        def current_token() -> IssuedToken | None:
            kept = self._cache.fresh(key) if self._epochs.get(pool, 0) == epoch else None
            return kept if kept and self._is_published(pool, kept.key_id) else None

        def make() -> tuple[IssuedToken, TokenSource]:
            if kept := current_token():  # from a request that has just completed
                return kept, TokenSource.REUSED
            try:
                issued = issue(request, deadline)
            except DeadlineExceeded:
                raise CallTimedOut from None
            self._cache.put(key, _found(issued), int(self._clock.now()))
            return issued, TokenSource.ISSUED

        if kept := current_token():
            return SourcedToken(kept, TokenSource.REUSED, current_token)
        try:
            (issued, source), is_shared = self._flights.do(Terms(key), make, deadline)
        except CallTimedOut:
            raise DeadlineExceeded from None
        return (
            SourcedToken(_found(issued), TokenSource.SHARED, current_token)
            if is_shared
            else SourcedToken(issued, source, current_token)
        )

    def forget(self, identity_pool_id: str) -> None:
        """Discards all tokens of a pool, whose users have changed."""
        self._epochs[identity_pool_id] = next(self._numbers)


def _found(issued: IssuedToken) -> IssuedToken:
    """Returns a token for callers that reuse it, for whom no identity was created."""
    return issued if issued.outcome is None else issued._replace(outcome=IdentityOutcome.RETRIEVED)
