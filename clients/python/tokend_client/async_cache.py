import asyncio
from typing import Self

from tokend_client.async_client import AsyncClient
from tokend_client.async_source import AsyncTokenSource
from tokend_client.cache import DEFAULT_MAX_USERS
from tokend_client.keyed_sources import KeyedSources
from tokend_client.model import Token, TokenRequest
from tokend_client.one_loop import OneLoop
from tokend_client.policy import CachingPolicy


class AsyncTokenCache:
    """Caches tokens for many users: the asyncio version of `TokenCache`, for one event loop.

    It raises `RuntimeError` in any other loop than the one where it was created, or else first used.
    """

    def __init__(
        self,
        client: AsyncClient,
        *,
        policy: CachingPolicy | None = None,
        max_users: int = DEFAULT_MAX_USERS,
    ) -> None:
        self._sources = KeyedSources(
            lambda request: AsyncTokenSource(client, request, policy=policy), max_users, client.shared.telemetry
        )
        self._loop = OneLoop(type(self).__name__)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __len__(self) -> int:
        return len(self._sources)

    async def token(self, request: TokenRequest, timeout: float | None = None) -> Token:  # noqa: ASYNC109 - the twin's argument
        """As `TokenCache.token`."""
        return await self.source(request).token(timeout)

    def source(self, request: TokenRequest) -> AsyncTokenSource:
        """As `TokenCache.source`."""
        self._loop.check()
        return self._sources.get(request)

    def invalidate(self, token: str) -> None:
        """As `TokenCache.invalidate`."""
        for source in self._sources.sources_with(token):
            source.invalidate(token)

    async def close(self) -> None:
        """Closes all sources."""
        await asyncio.gather(*(source.close() for source in self._sources.close()))
