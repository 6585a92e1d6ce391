from typing import Self

from tokend_client.client import Client
from tokend_client.keyed_sources import KeyedSources
from tokend_client.model import Token, TokenRequest
from tokend_client.policy import CachingPolicy
from tokend_client.source import TokenSource

#: The default maximum number of users in a cache.
DEFAULT_MAX_USERS = 10_000


class TokenCache:
    """Caches tokens for many users, by the policy in `clients/README.md`. Thread-safe.

    Args:
        client: Fetches the tokens; the cache does not close it.
        policy: The caching policy.
        max_users: For how many different requests tokens are cached. Requests without a token are evicted first, then
            the least recently used one.

    Raises:
        ValueError: `max_users` is not positive.
    """

    def __init__(
        self,
        client: Client,
        *,
        policy: CachingPolicy | None = None,
        max_users: int = DEFAULT_MAX_USERS,
    ) -> None:
        self._sources = KeyedSources(
            lambda request: TokenSource(client, request, policy=policy), max_users, client.shared.telemetry
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._sources)

    def token(self, request: TokenRequest, timeout: float | None = None) -> Token:
        """Returns a token for a request, as `TokenSource.token`.

        Raises:
            Closed: The cache was closed.
            TokendError: There is no token.
        """
        return self.source(request).token(timeout)

    def source(self, request: TokenRequest) -> TokenSource:
        """Returns the source for a request. Requests share a source if all their fields are equal.

        Raises:
            Closed: The cache was closed.
        """
        return self._sources.get(request)

    def invalidate(self, token: str) -> None:
        """Drops a token that another service has rejected, if it is still cached."""
        for source in self._sources.sources_with(token):
            source.invalidate(token)

    def close(self) -> None:
        """Closes all sources."""
        for source in self._sources.close():
            source.close()
