from typing import Self

from tokend_client.client import Client
from tokend_client.keyed_sources import KeyedSources
from tokend_client.model import Token, TokenRequest
from tokend_client.policy import CachingPolicy
from tokend_client.source import TokenSource

#: How many users a cache holds, if nothing else is said.
DEFAULT_MAX_USERS = 10_000


class TokenCache:
    """Keeps fresh tokens for many users at hand, by the policy of `clients/README.md`; safe to share between threads.

    Args:
        client: Where tokens come from; it is not closed with the cache.
        policy: Times, clock and randomness.
        max_users: For how many different requests tokens are kept. One without a token makes room first, then the
            least recently used.

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
        """A token for a request, as `TokenSource.token`.

        Raises:
            Closed: The cache was closed.
            TokendError: There is no token.
        """
        return self.source(request).token(timeout)

    def source(self, request: TokenRequest) -> TokenSource:
        """The source for a request: the same one for every request that is the same in all its fields.

        Raises:
            Closed: The cache was closed.
        """
        return self._sources.get(request)

    def invalidate(self, token: str) -> None:
        """Drops a token that another service has rejected, if a source still holds it."""
        for source in self._sources.holding(token):
            source.invalidate(token)

    def close(self) -> None:
        """Closes all its sources."""
        for source in self._sources.close():
            source.close()
