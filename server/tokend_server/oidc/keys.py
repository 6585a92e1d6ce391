"""The keys of an OpenID Connect provider: fetched when they are needed, and cached in memory."""

import logging
import math
import threading
from dataclasses import dataclass, field

from tokend_server.clock import Clock, Deadline
from tokend_server.errors import DeadlineExceeded
from tokend_server.oidc.documents import KeySource, VerificationKey, fetch_keys
from tokend_server.oidc.outbound import FetchFailed
from tokend_server.oidc.waits import Waits

#: Seconds after which keys are fetched again at their next use.
MAX_AGE = 3600.0

#: Seconds from the start of one fetch to the earliest start of the next.
COOL_DOWN = 30.0

#: The timeout of a fetch in seconds.
FETCH_TIMEOUT = 5.0

#: Seconds from the start of a fetch during which any number of threads may wait for it; most issuers answer by then.
UNLIMITED_WAIT_SECONDS = 0.5

#: Seconds for which keys count as the provider's current ones, so that a failed signature causes no fetch.
FRESH_SECONDS = 5.0

_log = logging.getLogger(__name__)


class KeysUnavailable(Exception):
    """Raised when a provider's keys are needed and it does not answer.

    Attributes:
        retry_after: Seconds until the next fetch.
    """

    def __init__(self, retry_after: float) -> None:
        super().__init__()
        self.retry_after = retry_after


class KeyNotKnownYet(KeysUnavailable):
    """Raised when the provider may have published a key since the last fetch, and it is too early for the next one."""


class _TooManyWaiting(KeysUnavailable):
    """Raised when too many threads wait for the provider."""


@dataclass(frozen=True, slots=True)
class _Fetch:
    """A fetch in progress, for which callers wait.

    Attributes:
        unlimited_until: The time until which any number of threads may wait.
        deadline: The deadline of the fetch.
        after_failure: Whether the previous fetch failed.
        done: Is set at its end.
    """

    unlimited_until: Deadline
    deadline: Deadline
    after_failure: bool
    done: threading.Event = field(default_factory=threading.Event)

    def wait(self, deadline: Deadline, *, has_place: bool) -> None:
        own, left = deadline.remaining(), (self.deadline if has_place else self.unlimited_until).remaining()
        if self.done.wait(min(own, left)):
            return
        if own < left:
            raise DeadlineExceeded
        if not has_place and (longer := self.deadline.remaining()):
            raise _TooManyWaiting(retry_after=max(longer, 1.0))


class ProviderKeys:
    """The keys of one provider, fetched when they are needed, and kept if they cannot be renewed.

    A fetch runs in its own thread: callers wait for it until their own deadlines, which do not affect the fetch. If it
    takes long, `waits` limits the number of callers that wait. Callers whose keys are only stale do not wait at all.
    Callers whose keys are too old wait, because a key may have been withdrawn, unless the last fetch failed.

    Args:
        owner: The name of the provider in logs.
        source: The source of the keys.
        clock: Measures ages and intervals.
        max_age: Seconds after which keys are stale, and fetched again at their next use.
        too_old: Seconds after which stale keys are used only when that fetch ends or the caller's deadline passes.
        waits: Limits the number of waiting threads.
    """

    def __init__(  # noqa: PLR0913 - all its parts
        self,
        owner: str,
        source: KeySource,
        clock: Clock,
        *,
        max_age: float = MAX_AGE,
        too_old: float = math.inf,
        waits: Waits,
    ) -> None:
        self._owner = owner
        self._source = source
        self._clock = clock
        self._max_age = max_age
        self._too_old = too_old
        self._waits = waits
        self._lock = threading.Lock()
        self._keys: tuple[VerificationKey, ...] = ()
        self._fetched_at = -math.inf
        self._attempted_at = -math.inf
        self._answered = True
        self._fetch: _Fetch | None = None

    def find(self, kid: str | None, deadline: Deadline) -> tuple[VerificationKey, ...]:
        """Returns the keys with a key id and those without an id, or all keys if the token has no key id.

        Returns:
            No key if the keys have just been fetched and there is no such key.

        Raises:
            KeyNotKnownYet: There was no such key at the last fetch, and it is too early for the next one.
            KeysUnavailable: No such key is known, and the last fetch failed, or too many callers wait for the provider.
            DeadlineExceeded: No such key is known, and the caller's deadline passed before the provider answered.
        """
        with self._lock:
            found = self._with_id(kid)
            age = self._age()
            if found and age < self._max_age:
                return found
            if not found:
                deadline.check()
            current, fetch = self._fetch, self._current_or_new_fetch()
        if not found:
            return self._find_after(fetch, kid, deadline, is_own_fetch=fetch is not current)
        if fetch is None or fetch.after_failure or age < self._too_old:
            return found
        try:
            return self._find_after(fetch, kid, deadline, is_own_fetch=True)
        except (DeadlineExceeded, _TooManyWaiting):
            return found

    def refetch(self, kid: str | None, deadline: Deadline) -> tuple[VerificationKey, ...]:
        """Returns the result of `find` after another fetch: a provider may change a key without changing its id.

        Returns:
            No key if the known keys are fresh, because there are no others.

        Raises:
            KeyNotKnownYet: It is too early for a fetch.
            KeysUnavailable: The provider does not answer.
            DeadlineExceeded: The caller's deadline passed before it answered.
        """
        with self._lock:
            if self._age() < FRESH_SECONDS:
                return ()
            deadline.check()
            fetched_at, fetch = self._fetched_at, self._current_or_new_fetch()
        self._wait(fetch, deadline)
        with self._lock:
            if self._fetched_at > fetched_at:
                return self._with_id(kid)
            raise self._unavailable()

    def _find_after(
        self, fetch: _Fetch | None, kid: str | None, deadline: Deadline, *, is_own_fetch: bool
    ) -> tuple[VerificationKey, ...]:
        self._wait(fetch, deadline)
        with self._lock:
            found = self._with_id(kid)
            if found or (self._answered and is_own_fetch):
                return found
            raise self._unavailable()

    def _wait(self, fetch: _Fetch | None, deadline: Deadline) -> None:
        if fetch is not None:
            with self._waits.place(self._source) as has_place:
                fetch.wait(deadline, has_place=has_place)

    def _unavailable(self) -> KeysUnavailable:
        return (KeyNotKnownYet if self._answered else KeysUnavailable)(retry_after=max(self._cool_down(), 1.0))

    def _with_id(self, kid: str | None) -> tuple[VerificationKey, ...]:
        """Returns the keys with that id, followed by those without an id, which may fit too (RFC 7517, section 4.5)."""
        if kid is None:
            return self._keys
        named = [key for key in self._keys if key.kid == kid]
        return (*named, *(key for key in self._keys if key.kid is None))

    def _age(self) -> float:
        return self._clock.monotonic() - self._fetched_at

    def _cool_down(self) -> float:
        return self._attempted_at + COOL_DOWN - self._clock.monotonic()

    def _current_or_new_fetch(self) -> _Fetch | None:
        """Returns the fetch in progress; starts one unless it is too early. The caller holds the lock."""
        if self._fetch is None and self._cool_down() <= 0 and self._waits.begin_fetch():
            now = self._clock.monotonic()
            fetch = _Fetch(
                Deadline(self._clock, now + UNLIMITED_WAIT_SECONDS),
                Deadline(self._clock, now + FETCH_TIMEOUT),
                after_failure=not self._answered,
            )
            self._attempted_at, self._answered = now, False
            try:
                threading.Thread(target=self._run, args=(fetch, now), name="provider-keys", daemon=True).start()
            except RuntimeError:
                self._waits.end_fetch()
                _log.warning("The keys of %s could not be fetched: no thread can be started", self._owner)
                return None
            self._fetch = fetch
        return self._fetch

    def _run(self, fetch: _Fetch, started_at: float) -> None:
        try:
            keys = fetch_keys(self._source, fetch.deadline, self._log_ignored_key)
            with self._lock:
                self._keys, self._fetched_at, self._answered = keys, started_at, True
        except FetchFailed as failure:
            _log.warning("The keys of %s could not be fetched: %s", self._owner, failure)
        except Exception as error:  # noqa: BLE001 - a thread that ends by an error would end the process
            # Its text may contain data from others.
            _log.error("The keys of %s could not be fetched: %s", self._owner, type(error).__qualname__)
        finally:
            with self._lock:
                self._fetch = None
            self._waits.end_fetch()
            fetch.done.set()

    def _log_ignored_key(self, reason: str) -> None:
        _log.info("In the keys of %s, %s", self._owner, reason)
