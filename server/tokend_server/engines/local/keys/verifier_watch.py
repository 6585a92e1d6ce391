"""What servers do together about verifiers: each shares who has fetched keys from it, and one has a key sign early."""

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from tokend_server.clock import Clock
from tokend_server.config import KeyTimes
from tokend_server.engines.local.keys.fetch_log import KNOWN_FOR, FetchLog
from tokend_server.engines.local.keys.fetches import ServerNotes, all_notes, record_of
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.plan import waiting_keys
from tokend_server.engines.local.keys.refresh import log_problem
from tokend_server.engines.local.keys.seen import begins_early, seen
from tokend_server.engines.local.keys.signer import TokenSigner
from tokend_server.engines.local.keys.store import FetchStore, KeyStore
from tokend_server.engines.local.stale_reading import StaleReading

_log = logging.getLogger(__name__)

#: Seconds between two looks at the store, while there is something to tell or a key waits.
INTERVAL = 15.0

#: Seconds after which a server notes that all is as it was, and after which old notes are removed.
_SILENCE, _FORGET_INTERVAL = 300.0, 3600.0

#: What may fail here, as metrics name it.
NOTE, ACTIVATE = "note", "activate"


#: How much of a host's name is in that of a server: its end, which differs between the pods of a Deployment.
_HOST_LENGTH = 27


def server_name(host: str, guid: str) -> str:
    """The name of a server while it runs, of 36 characters at most: that of its host, and what is its own.

    Args:
        host: The host's name.
        guid: A new UUID.
    """
    return f"{host[-_HOST_LENGTH:]}-{guid[:8]}"


class _Keys(KeyStore, FetchStore, Protocol):
    """What is used of the store."""


class VerifierWatch:
    """Shares this server's notes, and looks at those of all while a key waits to sign.

    Whatever the store does, keys are signed with and published as before; a key then signs after `publish_before`.

    Args:
        server: The name of this server while it runs, of 36 characters at most.
        log: Who has fetched which key set from it.
        signer: What publishes keys here.
        store: Where notes and keys are kept.
        algorithms: What pools sign with.
        clock: The time.
        times: The times of keys.
        failed: Called with what fails: `NOTE` or `ACTIVATE`.

    Attributes:
        behind: How many verifiers of the last day may not have a key that waits, as of the last look.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what it reads, what it changes, and by which times
        self,
        server: str,
        log: FetchLog,
        signer: TokenSigner,
        store: _Keys,
        algorithms: Iterable[SigningAlgorithm],
        clock: Clock,
        times: KeyTimes,
        failed: Callable[[str], None],
    ) -> None:
        self._server = server
        self._fetches = log
        self._signer = signer
        self._store = store
        self._algorithms = frozenset(algorithms)
        self._clock = clock
        self._times = times
        self._failed = failed
        self._published = frozenset[str]()
        self._shared: tuple[int, frozenset[str]] = (0, frozenset())
        self._shared_at = self._looked_at = self._forgot_at = -math.inf
        self._failing: set[str] = set()
        self.behind = 0

    def register(self) -> None:
        """Tells other servers, before the first reading of keys, that this one may give out key sets without theirs."""
        self._attempt(NOTE, self._share)

    def act(self, *, may_change: bool) -> bool:
        """Does what is due; it is called after each reading of the keys.

        Args:
            may_change: Whether the keys of the reading are all in use here.

        Returns:
            Whether a key was changed.
        """
        before, self._published = self._published, self._signer.key_set().key_ids
        # A request that has taken an older key set an instant ago is noted by the next time.
        published = before & self._published
        now = self._clock.monotonic()
        since = now - self._shared_at
        changed = self._shared != (self._fetches.changes, published)
        if since >= _SILENCE or (changed and since >= INTERVAL):
            self._attempt(NOTE, lambda: self._share(published))
        if now - self._forgot_at >= _FORGET_INTERVAL:
            self._forgot_at = now
            self._attempt(NOTE, self._forget)
        return self._look(now, may_change=may_change)

    def stop(self) -> None:
        """Tells other servers that this one gives out no more key sets."""
        if NOTE not in self._failing:
            self._attempt(NOTE, lambda: self._share(self._published, stopped=True))

    def _share(self, published: frozenset[str] = frozenset(), *, stopped: bool = False) -> None:
        self._shared_at = self._clock.monotonic()
        changes = self._fetches.changes  # before what they are the changes of
        fetches = self._fetches.fetches()
        notes = ServerNotes(
            self._server, int(self._clock.now()), stopped, published, fetches, self._fetches.uncounted_at
        )
        self._store.keep_fetch_record(record_of(notes))
        self._shared = changes, published

    def _forget(self) -> None:
        self._store.forget_fetch_records(int(self._clock.now()) - KNOWN_FOR - self._times.clock_skew)

    def _look(self, now: float, *, may_change: bool) -> bool:
        """Looks at the notes of all servers; whether a key was changed."""
        waiting = waiting_keys(self._signer.keys, self._algorithms, self._clock.now())
        if not waiting:
            self.behind = 0
            return False
        if now - self._looked_at < INTERVAL:
            return False
        self._looked_at = now
        changes: list[bool] = []
        self._attempt(ACTIVATE, lambda: changes.extend(self._activate(waiting, may_change=may_change)))
        return any(changes)

    def _activate(self, waiting: Sequence[SigningKey], *, may_change: bool) -> Sequence[bool]:
        notes = all_notes(self._store.fetch_records())
        now = self._clock.now()
        self.behind = sum(bool(each.behind) for each in seen(waiting, notes, self._times, now))
        return [self._hasten(key, notes, now) for key in waiting if may_change]

    def _hasten(self, key: SigningKey, notes: Sequence[ServerNotes], now: float) -> bool:
        signs_from = begins_early(key, notes, self._times, now)
        if signs_from is None:
            return False
        try:
            self._store.replace_signs_from(key, signs_from)
        except StaleReading:  # another server has done it, or the key is gone
            return True
        _log.info("every verifier has the next signing key", extra={"key_id": key.kid, "signs_from": signs_from})
        return True

    def _attempt(self, what: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whatever it is, keys have to be followed
            self._failed(what)
            if what not in self._failing:
                log_problem("verifiers cannot be followed; keys sign after publish_before", error, step=what)
            self._failing.add(what)
        else:
            self._failing.discard(what)
