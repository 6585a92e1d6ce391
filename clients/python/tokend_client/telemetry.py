"""The metrics and logs of a client."""

import logging
from importlib.metadata import PackageNotFoundError, version

from opentelemetry import metrics
from opentelemetry.metrics import MeterProvider

from tokend_client.errors import Closed, TokendError
from tokend_client.model import TokenRequest

#: Seconds between two warnings of failed refreshes, regardless of the number of failing sources.
_WARNING_INTERVAL = 1.0

_LOG = logging.getLogger("tokend_client")


def client_version() -> str:
    """Returns the version of the distribution; `unknown` if its files were copied without its metadata."""
    try:
        return version("tokend-client")
    except PackageNotFoundError:
        return "unknown"


class Telemetry:
    """Counts through OpenTelemetry's API, and logs as `tokend_client`.

    Args:
        meter_provider: The provider of the instruments; None for the global one, which counts nothing without an SDK.
    """

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        meter = metrics.get_meter("tokend_client", client_version(), meter_provider)
        self._refreshes = meter.create_counter(
            "tokend.client.refreshes", "{refresh}", "Finished refreshes; error.type is the cause of a failed one"
        )
        self._stale_tokens = meter.create_counter(
            "tokend.client.stale_tokens", "{token}", "Tokens returned after their refresh time"
        )
        self._users = meter.create_up_down_counter("tokend.client.cache.users", "{user}", "Users in caches")
        self._evictions = meter.create_counter(
            "tokend.client.cache.evictions", "{user}", "Users evicted from a full cache"
        )
        self._next_warning = float("-inf")

    def refreshed(self, error: TokendError | None) -> None:
        """Counts a refresh, unless `close` has cancelled it."""
        if error is None:
            self._refreshes.add(1)
        elif not isinstance(error, Closed):
            self._refreshes.add(1, {"error.type": error.reason or error.code.name})

    def stale_token(self) -> None:
        """Counts a token that is returned after its refresh time."""
        self._stale_tokens.add(1)

    def users(self, change: int) -> None:
        """Counts users who were added to a cache, or removed from it."""
        self._users.add(change)

    def evicted(self) -> None:
        """Counts an evicted user."""
        self._users.add(-1)
        self._evictions.add(1)

    def log_failure(
        self, request: TokenRequest, error: TokendError, *, is_first: bool, pause: float, monotonic: float
    ) -> None:
        """Logs a failed refresh: the first one of a source as a warning, but at most one per second.

        Args:
            request: The request of the source; its logins are not logged.
            error: Why it failed.
            is_first: Whether the previous refresh did not fail.
            pause: Seconds until the next attempt.
            monotonic: The reading of the monotonic clock.
        """
        level = logging.DEBUG
        if is_first and monotonic >= self._next_warning:
            self._next_warning = monotonic + _WARNING_INTERVAL
            level = logging.WARNING
        _LOG.log(level, "No token for %s: %s; the next attempt is in %.1f s", _name(request), error, pause)

    def log_recovery(self, request: TokenRequest) -> None:
        """Logs that refreshes succeed again."""
        _LOG.info("There are tokens for %s again", _name(request))


def _name(request: TokenRequest) -> str:
    return f"a user of {', '.join(sorted(request.logins))} in {request.identity_pool_id}"
