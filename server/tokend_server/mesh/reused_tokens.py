"""Tokens that are given out again: one page of a user's asks a hundred times for the same one."""

from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from itertools import count
from typing import NamedTuple, TypeAlias

from tokend_server.clock import Clock, Deadline
from tokend_server.errors import DeadlineExceeded
from tokend_server.kept_tokens import KeptTokens
from tokend_server.model import IdentityOutcome, IssuedToken, TokenRequest
from tokend_server.request_key import request_key
from tokend_server.single_flight import OutOfTime, SingleFlight, Terms


class TokenSource(StrEnum):
    """Where a token came from; the value is the metric label."""

    ISSUED = "issued"
    SHARED = "shared"
    REUSED = "reused"


#: Issues a new token.
Issue: TypeAlias = Callable[[TokenRequest, Deadline], IssuedToken]

#: Tells which token would be given out again now for a request that was made before; None: a new one is due.
Again: TypeAlias = Callable[[], IssuedToken | None]


class GivenOut(NamedTuple):
    """A token, where it came from, and what tells whether it may be given out again."""

    issued: IssuedToken
    source: TokenSource
    again: Again


#: Gives out a token for a request, by issuing one if need be.
GiveOut: TypeAlias = Callable[[TokenRequest, Deadline, Issue], GivenOut]


def issuing_each(request: TokenRequest, deadline: Deadline, issue: Issue) -> GivenOut:
    """A `GiveOut` that keeps no token."""
    return GivenOut(issue(request, deadline), TokenSource.ISSUED, _never)


def _never() -> None:
    """No token is given out again."""


class ReusedTokens:
    """Gives out a token again until its `refresh_time`, to requests that are the same in every field.

    That the caller may have it is checked before, each time. Of requests at once that are the same, one is made, and
    the others wait for it until their deadlines; what it fails with, they fail with, and it is not kept.

    Args:
        most: How many tokens are kept, at least one; the least recently used makes room.
        is_published: Whether verifiers can still have the key of a pool that signed a token.
        clock: The time.
    """

    def __init__(self, most: int, is_published: Callable[[str, str | None], bool], clock: Clock) -> None:
        self._kept = KeptTokens(most, timedelta(0), clock)
        self._is_published = is_published
        self._clock = clock
        self._flights = SingleFlight()
        self._numbers = count(1)
        self._epochs: dict[str, int] = {}

    def count(self) -> int:
        """How many tokens are kept."""
        return len(self._kept)

    def give_out(self, request: TokenRequest, deadline: Deadline, issue: Issue) -> GivenOut:
        """A `GiveOut`.

        Raises:
            DeadlineExceeded: The deadline passed before there was a token.
            TokendError: What `issue` raised.
        """
        pool = request.identity_pool_id
        epoch = self._epochs.get(pool, 0)
        key = request_key(epoch, request)

        def again() -> IssuedToken | None:
            kept = self._kept.fresh(key) if self._epochs.get(pool, 0) == epoch else None
            return kept if kept and self._is_published(pool, kept.key_id) else None

        def make() -> tuple[IssuedToken, TokenSource]:
            if kept := again():  # by a flight that landed a moment ago
                return kept, TokenSource.REUSED
            try:
                issued = issue(request, deadline)
            except DeadlineExceeded:
                raise OutOfTime from None
            self._kept.put(key, _found(issued), int(self._clock.now()))
            return issued, TokenSource.ISSUED

        if kept := again():
            return GivenOut(kept, TokenSource.REUSED, again)
        try:
            (issued, source), is_shared = self._flights.fly(Terms(key), make, deadline)
        except OutOfTime:
            raise DeadlineExceeded from None
        return GivenOut(_found(issued), TokenSource.SHARED, again) if is_shared else GivenOut(issued, source, again)

    def forget(self, identity_pool_id: str) -> None:
        """Gives out no token of a pool that was asked for before now: who its users are has changed."""
        self._epochs[identity_pool_id] = next(self._numbers)


def _found(issued: IssuedToken) -> IssuedToken:
    """What a token is to those who did not have it issued: nothing was created for them."""
    return issued if issued.outcome is None else issued._replace(outcome=IdentityOutcome.RETRIEVED)
