import copy
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Self

from tokend_client import forks
from tokend_client.client import Client, Outcome
from tokend_client.errors import Closed, Forked, TokendError, cannot_refresh
from tokend_client.model import Token, TokenRequest
from tokend_client.policy import CachingPolicy
from tokend_client.source_state import HasTokenChanged, SourceState, timeout_error, unwrap


@dataclass(slots=True, eq=False)
class _Flight:
    """A refresh that callers may wait for. A failure is its value, since there may be no caller for an exception."""

    outcome: Future[Outcome] = field(default_factory=Future)
    cancel: Callable[[], object] = lambda: None


class TokenSource:
    """Caches a token for one request, by the policy in `clients/README.md`.

    It is thread-safe, and has no thread of its own: refreshes run on gRPC's threads.

    Args:
        client: Fetches the tokens; the source does not close it.
        request: The request of the tokens.
        policy: The caching policy.
    """

    def __init__(self, client: Client, request: TokenRequest, *, policy: CachingPolicy | None = None) -> None:
        self._client = client
        self._request = request
        self._policy = policy or CachingPolicy()
        self._state = SourceState(request, self._policy, client.shared)
        self._lock = threading.Lock()
        self._flight: _Flight | None = None
        forks.register(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def snapshot(self) -> Token | None:
        """Returns the last token regardless of its age, without fetching one."""
        return self._state.snapshot

    def token(self, timeout: float | None = None) -> Token:
        """Returns a usable token, and waits only if there is none.

        Args:
            timeout: The maximum seconds to wait; None waits as long as the refresh takes.

        Raises:
            Closed: The source was closed.
            TokendError: There is no token, and the refresh failed (or failed a moment ago). The code is
                DEADLINE_EXCEEDED after the timeout.
        """
        fresh = self._state.fresh_token()
        if fresh is not None:
            return fresh
        outcome, flight = self._ask()
        try:
            return unwrap(outcome or flight.outcome.result(_bounded(timeout)))
        except TimeoutError:
            raise timeout_error() from None

    def token_future(self) -> Future[Token]:
        """As `token`, without waiting: the future completes at once, or on a gRPC thread."""
        future: Future[Token] = Future()
        outcome, flight = self._ask()
        if outcome is not None:
            _resolve(future, outcome)
        else:
            flight.outcome.add_done_callback(lambda ended: _resolve(future, ended.result()))
        return future

    def watch(self, has_token_changed: HasTokenChanged) -> None:
        """Registers a function to call with whether there is a token, when that may have changed."""
        self._state.has_token_changed = has_token_changed

    def invalidate(self, token: str) -> None:
        """Drops a token that another service has rejected, if it is still the cached one."""
        with self._lock:
            self._state.invalidate(token)

    def wait_for_refresh(self, timeout: float | None = None) -> None:
        """Waits until the running refresh succeeds or fails; returns at once if there is none.

        Raises:
            TimeoutError: It still runs after this many seconds.
        """
        flight = self._flight
        if flight is not None:
            flight.outcome.result(_bounded(timeout))

    def close(self) -> None:
        """Cancels a running refresh. Waiting and later callers get `Closed`."""
        with self._lock:
            self._state.close(Closed())
            flight, self._flight = self._flight, None
        if flight is not None:
            flight.outcome.set_result(Closed())
            flight.cancel()

    def after_fork(self) -> None:
        """Leaves a running refresh to the parent process. Later callers get `Forked`."""
        self._lock = threading.Lock()
        self._flight = None
        self._state.close(Forked())

    def _ask(self) -> tuple[Outcome | None, _Flight]:
        with self._lock:
            answer = self._state.ask()
            flight = self._flight or _Flight()
            if answer.starts_refresh:
                self._flight = flight
        if answer.starts_refresh:
            self._client.turns.acquire(lambda: self._start(flight))
        return answer.outcome, flight

    def _start(self, flight: _Flight) -> None:
        if flight is not self._flight:
            # Closed while the refresh was queued.
            self._client.turns.release()
            return
        try:
            flight.cancel = self._client.start_get_token(
                self._request, self._policy.refresh_timeout, lambda outcome: self._finish(flight, outcome)
            )
        except BaseException as error:
            # For example a login that is not valid Unicode. After any error, callers must not wait forever for this
            # refresh.
            self._finish(flight, cannot_refresh(error))
            if not isinstance(error, Exception):
                raise
        if flight is not self._flight:
            # Closed meanwhile, or done.
            flight.cancel()

    def _finish(self, flight: _Flight, outcome: Outcome) -> None:
        try:
            self._settle(flight, outcome)
        finally:
            self._client.turns.release()

    def _settle(self, flight: _Flight, outcome: Outcome) -> None:
        with self._lock:
            if flight is not self._flight:
                return
            self._flight = None
            self._state.settle(outcome)
        self._state.flush_log()
        # Not under the lock, since the callback may request a token.
        flight.outcome.set_result(outcome)


def _bounded(timeout: float | None) -> float | None:
    """Limits a timeout: Python refuses to wait for some centuries or infinitely."""
    return None if timeout is None else min(timeout, threading.TIMEOUT_MAX)


def _resolve(future: Future[Token], outcome: Outcome) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(outcome, TokendError):
        future.set_exception(copy.copy(outcome))
    else:
        future.set_result(outcome)
