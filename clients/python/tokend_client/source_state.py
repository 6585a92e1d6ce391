"""The state of one token source: what a request gets, and what a refresh changes. It neither locks nor calls."""

import copy
import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import grpc

from tokend_client.errors import Closed, TokendError
from tokend_client.model import Token, TokenRequest
from tokend_client.policy import Backoff, CachingPolicy, Freshness, Held, hold
from tokend_client.shared import Shared

#: Called with whether there is a token.
HasTokenChanged: TypeAlias = Callable[[bool], object]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request gets.

    Attributes:
        outcome: The token to return, or the error to raise, at once; None for the result of the running refresh.
        starts_refresh: Whether the caller must start the refresh.
    """

    outcome: Token | TokendError | None
    starts_refresh: bool = False


class SourceState:
    """Stores the token of one request. Its owner ensures that the methods do not run concurrently.

    Only `fresh_token` and `snapshot` may be called at any time, from any thread.

    Attributes:
        has_token_changed: Called with whether there is a token, when that may have changed: a token arrived, was
            rejected, or has expired and could not be refreshed.
    """

    def __init__(self, request: TokenRequest, policy: CachingPolicy, shared: Shared) -> None:
        self._request = request
        self._policy = policy
        self._shared = shared
        self._telemetry = shared.telemetry
        self._held: Held | None = None
        self._backoff = Backoff()
        self._refreshing = False
        self._closed: Closed | None = None
        self._pending_logs: list[Callable[[], object]] = []
        self.has_token_changed: HasTokenChanged = _ignore

    @property
    def snapshot(self) -> Token | None:
        """The last token, regardless of its age."""
        held = self._held
        return held.token if held else None

    @property
    def fresh_for(self) -> float:
        """Returns the seconds until the next refresh is due; zero or less if it is."""
        held = self._held
        return held.fresh_for - held.age(self._policy.clock) if held else 0.0

    def fresh_token(self) -> Token | None:
        """Returns the token, if it is fresh."""
        held = self._held
        if held is not None and held.freshness(self._policy.clock) is Freshness.FRESH:
            return held.token
        return None

    def ask(self) -> Answer:
        """Decides what a request gets, and records a refresh as running if the caller must start it."""
        if self._closed:
            return Answer(self._closed)
        freshness = self._held.freshness(self._policy.clock) if self._held else Freshness.EXPIRED
        starts = freshness is not Freshness.FRESH and not self._refreshing and self._may_refresh(freshness)
        self._refreshing |= starts
        if self._held and freshness is not Freshness.EXPIRED:
            if freshness is Freshness.STALE:
                self._telemetry.stale_token()
            return Answer(self._held.token, starts)
        return Answer(None if self._refreshing else self._backoff.error, starts)

    def settle(self, outcome: Token | TokendError) -> None:
        """Records the result of the refresh. A failure keeps the cached token."""
        self._refreshing = False
        if isinstance(outcome, TokendError):
            self._telemetry.refreshed(outcome)
            self._fail(outcome)
        elif not self._closed:
            self._telemetry.refreshed(None)
            self._store(outcome)

    def flush_log(self) -> None:
        """Logs the result of the last refresh, if it is worth a log line. The owner calls it without its lock.

        An exception of a user's log filter is handled like that of a log handler, since waiting callers depend on the
        code that follows.
        """
        pending, self._pending_logs = self._pending_logs, []
        try:
            for log in pending:
                log()
        except Exception:  # noqa: BLE001 - whatever it is
            if logging.raiseExceptions:
                traceback.print_exc()

    def invalidate(self, token: str) -> None:
        """Drops the token, if it is the cached one."""
        if self._held is not None and self._held.token.value == token:
            self._held = None
            self.has_token_changed(False)  # noqa: FBT003 - the only argument

    def close(self, error: Closed) -> None:
        """Ends the source: requests then get this error."""
        self._closed = error
        self._held = None

    def _fail(self, error: TokendError) -> None:
        is_first = self._backoff.error is None
        self._backoff = self._backoff.after(error, self._policy, self._shared.successes)
        freshness = self._held.freshness(self._policy.clock) if self._held else Freshness.EXPIRED
        if freshness is Freshness.EXPIRED:
            self.has_token_changed(False)  # noqa: FBT003 - the only argument
        if not self._closed and not isinstance(error, Closed):
            pause, monotonic = self._backoff.delay(error, freshness), self._policy.clock.monotonic()
            self._pending_logs.append(
                partial(
                    self._telemetry.log_failure,
                    self._request,
                    error,
                    is_first=is_first,
                    pause=pause,
                    monotonic=monotonic,
                )
            )

    def _store(self, token: Token) -> None:
        self._held = held = hold(token, self._policy)
        if self._backoff.error is not None:
            self._pending_logs.append(partial(self._telemetry.log_recovery, self._request))
        self._backoff = Backoff()
        self.has_token_changed(True)  # noqa: FBT003 - the only argument
        self._shared.record_success()
        if token.issue_time is not None:
            self._pending_logs.append(partial(self._shared.check_clock, held.arrived_at - token.issue_time.timestamp()))

    def _may_refresh(self, freshness: Freshness) -> bool:
        return self._backoff.is_over(self._policy.clock.monotonic(), freshness, self._shared.successes)


def _ignore(_has_token: bool) -> None:  # noqa: FBT001 - the only argument
    pass


def unwrap(outcome: Token | TokendError) -> Token:
    """Returns the token, or raises the failure.

    Many callers may share one failure. Each raises its own copy, with its own traceback.
    """
    if isinstance(outcome, TokendError):
        raise copy.copy(outcome)
    return outcome


def timeout_error() -> TokendError:
    """Returns the error of a caller whose own timeout ends during a refresh."""
    return TokendError("The token did not arrive in time.", grpc.StatusCode.DEADLINE_EXCEEDED)
