import asyncio
from concurrent.futures import Future
from typing import Self

from tokend_client.async_client import AsyncTokendClient
from tokend_client.client import Outcome
from tokend_client.errors import Closed, TokendError
from tokend_client.keeping import TokenKeeping, cannot_refresh, out_of_time, unwrap
from tokend_client.model import OpenIdToken, TokenRequest
from tokend_client.policy import CachingPolicy


class AsyncTokenSource:
    """Keeps a fresh token for one request at hand: the twin of `TokenSource` for the event loop that it is made in.

    A caller that is cancelled, or stops waiting, takes nothing from the others.

    Args:
        client: Where tokens come from; it is not closed with the source.
        request: What to ask for.
        policy: Times, clock and randomness.
    """

    def __init__(
        self, client: AsyncTokendClient, request: TokenRequest, *, policy: CachingPolicy | None = None
    ) -> None:
        self._client = client
        self._request = request
        self._policy = policy or CachingPolicy()
        self._keeping = TokenKeeping(self._policy)
        self._loop = asyncio.get_running_loop()
        # The refresh that runs, or the last one; before the first, one that is over.
        self._refresh: asyncio.Future[Outcome] = self._loop.create_future()
        self._refresh.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def snapshot(self) -> OpenIdToken | None:
        """The last token, whatever its age; nothing is fetched."""
        return self._keeping.snapshot

    async def token(self, timeout: float | None = None) -> OpenIdToken:  # noqa: ASYNC109 - the twin's argument
        """A token that can be used; it waits only where there is none. As `TokenSource.token`."""
        answer = self._keeping.ask()
        if answer.starts_refresh:
            self._refresh = self._loop.create_task(self._fetch())
        at_once = answer.token or answer.error
        return unwrap(at_once or await _landed(self._refresh, timeout))

    def token_future(self) -> Future[OpenIdToken]:
        """As `token`, for other threads than the event loop's."""
        return asyncio.run_coroutine_threadsafe(self.token(), self._loop)

    async def wait_for_refresh(self) -> None:
        """Waits until the refresh that runs now has ended, well or not; returns at once if none does."""
        await asyncio.wait({self._refresh})

    async def close(self) -> None:
        """Ends the refresh that runs, and tells those who wait for it; from now on asking fails."""
        self._keeping.close()
        self._refresh.cancel()
        await asyncio.wait({self._refresh})

    async def _fetch(self) -> Outcome:
        outcome: Outcome = Closed()
        try:
            outcome = await self._client.get_token(self._request, timeout=self._policy.refresh_timeout)
        except TokendError as error:
            outcome = error
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait have to get it
            outcome = cannot_refresh(error)
        finally:
            self._keeping.settle(outcome)
        return outcome


async def _landed(refresh: asyncio.Future[Outcome], timeout: float | None) -> Outcome:  # noqa: ASYNC109 - as above
    # Unlike awaiting it, this leaves the refresh alone when the one who waits is cancelled.
    done, _ = await asyncio.wait({refresh}, timeout=timeout)
    if not done:
        return out_of_time()
    return Closed() if refresh.cancelled() else refresh.result()
