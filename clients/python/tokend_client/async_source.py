import asyncio
from concurrent.futures import Future
from typing import Self

from tokend_client import forks
from tokend_client.async_client import AsyncClient
from tokend_client.client import Outcome
from tokend_client.errors import Closed, Forked, TokendError, cannot_refresh
from tokend_client.model import Token, TokenRequest
from tokend_client.one_loop import OneLoop
from tokend_client.policy import CachingPolicy
from tokend_client.source_state import HasTokenChanged, SourceState, timeout_error, unwrap


class AsyncTokenSource:
    """Caches a token for one request: the asyncio version of `TokenSource`, for the event loop in which it is created.

    A caller that is cancelled or stops waiting does not affect others. In another event loop, it raises `RuntimeError`.

    Args:
        client: Fetches the tokens; the source does not close it.
        request: The request of the tokens.
        policy: The caching policy.
    """

    def __init__(self, client: AsyncClient, request: TokenRequest, *, policy: CachingPolicy | None = None) -> None:
        self._client = client
        self._request = request
        self._policy = policy or CachingPolicy()
        self._state = SourceState(request, self._policy, client.shared)
        self._loop = asyncio.get_running_loop()
        self._one_loop = OneLoop(type(self).__name__)
        # The running refresh, or the last one; before the first, a completed one.
        self._refresh: asyncio.Future[Outcome] = self._loop.create_future()
        self._refresh.cancel()
        forks.register(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def snapshot(self) -> Token | None:
        """Returns the last token regardless of its age, without fetching one."""
        return self._state.snapshot

    async def token(self, timeout: float | None = None) -> Token:  # noqa: ASYNC109 - the twin's argument
        """Returns a usable token, and waits only if there is none. As `TokenSource.token`."""
        self._one_loop.check()
        fresh = self._state.fresh_token()
        if fresh is not None:
            return fresh
        answer = self._state.ask()
        if answer.starts_refresh:
            self._refresh = self._loop.create_task(self._fetch())
        return unwrap(answer.outcome or await _wait_for_outcome(self._refresh, timeout))

    def token_future(self) -> Future[Token]:
        """As `token`, for threads other than the event loop's."""
        if self._loop.is_closed():
            closed: Future[Token] = Future()
            closed.set_exception(Closed("The event loop of the token source is closed."))
            return closed
        return asyncio.run_coroutine_threadsafe(self.token(), self._loop)

    def watch(self, has_token_changed: HasTokenChanged) -> None:
        """As `TokenSource.watch`."""
        self._state.has_token_changed = has_token_changed

    def invalidate(self, token: str) -> None:
        """As `TokenSource.invalidate`; for any thread."""
        self._state.invalidate(token)

    async def wait_for_refresh(self) -> None:
        """Waits until the running refresh succeeds or fails; returns at once if there is none."""
        await asyncio.wait({self._refresh})

    async def close(self) -> None:
        """Cancels a running refresh. Waiting and later callers get `Closed`."""
        self._state.close(Closed())
        self._refresh.cancel()
        await asyncio.wait({self._refresh})

    def after_fork(self) -> None:
        """As `TokenSource.after_fork`."""
        self._state.close(Forked())

    async def _fetch(self) -> Outcome:
        outcome: Outcome = Closed()
        try:
            async with self._client.turns:
                outcome = await self._client.get_token(self._request, timeout=self._policy.refresh_timeout)
        except TokendError as error:
            outcome = error
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait have to get it
            outcome = cannot_refresh(error)
        finally:
            self._state.settle(outcome)
            self._state.flush_log()
        return outcome


async def _wait_for_outcome(refresh: asyncio.Future[Outcome], timeout: float | None) -> Outcome:  # noqa: ASYNC109 - as above
    # Unlike `await`, this does not cancel the refresh when the caller is cancelled.
    done, _ = await asyncio.wait({refresh}, timeout=timeout)
    if not done:
        return timeout_error()
    return Closed() if refresh.cancelled() else refresh.result()
