"""The keys of a public login provider: fetched when they are needed, and kept in memory."""

import logging
import math
import threading
from dataclasses import dataclass, field

from urllib3 import PoolManager

from tokend_server.clock import Clock, Deadline
from tokend_server.engines.local.provider_documents import FetchFailed, VerificationKey, fetch_keys, require_secure_url
from tokend_server.errors import DeadlineExceeded, LoginProviderUnavailable

#: Seconds after which keys are fetched anew when they are next used.
MAX_AGE = 3600.0

#: Seconds from the start of one fetch to the earliest start of the next.
COOL_DOWN = 30.0

#: Seconds that a fetch may take in all.
FETCH_TIMEOUT = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Fetch:
    """A fetch under way, which everybody who needs it waits for."""

    deadline: Deadline
    done: threading.Event = field(default_factory=threading.Event)

    def wait(self, deadline: Deadline) -> None:
        patience, left = deadline.remaining(), self.deadline.remaining()
        if not self.done.wait(min(patience, left)) and patience < left:
            raise DeadlineExceeded


class ProviderKeys:
    """The keys of one provider, fetched when they are needed and kept when they cannot be renewed.

    A fetch has a thread of its own: callers wait for it no longer than their deadlines, and no caller's short deadline
    spoils it for the others. Callers whose keys are only stale do not wait at all.

    Args:
        provider_name: What errors and logs call the provider: its key in `Logins`.
        issuer: The URL whose discovery document leads to the keys, exactly as that document names it.
        http: Makes the requests.
        clock: Measures ages and intervals.

    Raises:
        ValueError: The issuer breaks the rule of `require_secure_url`.
    """

    def __init__(self, provider_name: str, issuer: str, http: PoolManager, clock: Clock) -> None:
        require_secure_url(issuer)
        self._provider_name = provider_name
        self._issuer = issuer
        self._http = http
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: tuple[VerificationKey, ...] = ()
        self._fetched_at = -math.inf
        self._attempted_at = -math.inf
        self._answered = False
        self._fetch: _Fetch | None = None

    def find(self, kid: str | None, deadline: Deadline) -> tuple[VerificationKey, ...]:
        """The keys with a key id, or all keys where a token names none.

        Returns:
            No key, if the provider said within the cool-down that it has no such key.

        Raises:
            LoginProviderUnavailable: No such key is known and the provider did not answer when last asked.
            DeadlineExceeded: The caller's time was spent before the provider answered.
        """
        with self._lock:
            found = self._with_id(kid)
            if found and self._age() < MAX_AGE:
                return found
            if not found:
                deadline.check()
            fetch = self._fetch_under_way()
        if not found and fetch is not None:
            fetch.wait(deadline)
        return found or self._find_now(kid)

    def _find_now(self, kid: str | None) -> tuple[VerificationKey, ...]:
        with self._lock:
            found = self._with_id(kid)
            if found or self._answered:
                return found
            raise LoginProviderUnavailable(
                f"Login provider {self._provider_name} does not answer.",
                retry_after=max(self._cool_down(), 1.0),
            )

    def _with_id(self, kid: str | None) -> tuple[VerificationKey, ...]:
        return self._keys if kid is None else tuple(key for key in self._keys if key.kid == kid)

    def _age(self) -> float:
        return self._clock.monotonic() - self._fetched_at

    def _cool_down(self) -> float:
        return self._attempted_at + COOL_DOWN - self._clock.monotonic()

    def _fetch_under_way(self) -> _Fetch | None:
        """The fetch under way, begun now unless it is too early for one. The caller holds the lock."""
        if self._fetch is None and self._cool_down() <= 0:
            now = self._clock.monotonic()
            fetch = _Fetch(Deadline(self._clock, now + FETCH_TIMEOUT))
            threading.Thread(target=self._run, args=(fetch, now), name="login-provider-keys", daemon=True).start()
            self._fetch, self._attempted_at, self._answered = fetch, now, False
        return self._fetch

    def _run(self, fetch: _Fetch, started_at: float) -> None:
        try:
            keys = fetch_keys(self._issuer, self._http, fetch.deadline)
            with self._lock:
                self._keys, self._fetched_at, self._answered = keys, started_at, True
        except FetchFailed as failure:
            _log.warning("The keys of login provider %s could not be fetched: %s", self._provider_name, failure)
        finally:
            with self._lock:
                self._fetch = None
            fetch.done.set()
