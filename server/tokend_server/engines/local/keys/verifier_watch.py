"""Shares between servers which verifiers have fetched keys, and activates a key early once all have it."""

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from tokend_server.clock import Clock
from tokend_server.config import KeyTimes
from tokend_server.engines.local.keys.fetch_log import RETENTION_SECONDS, FetchLog
from tokend_server.engines.local.keys.fetches import ServerNotes, notes_of, record_of
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.plan import waiting_keys
from tokend_server.engines.local.keys.refresh import log_problem
from tokend_server.engines.local.keys.signer import TokenSigner
from tokend_server.engines.local.keys.store import FetchStore, KeyStore
from tokend_server.engines.local.keys.verifier_keys import early_signing_time, verifier_keys
from tokend_server.engines.local.stale_reading import StaleReading

_log = logging.getLogger(__name__)

#: Seconds between two accesses to the store, while notes have changed or a key waits.
INTERVAL = 15.0

#: Seconds after which a server writes unchanged notes, and between removals of old notes.
_SILENCE, _REMOVAL_INTERVAL = 300.0, 3600.0

#: The steps that may fail, as in metrics.
NOTE, ACTIVATE = "note", "activate"


#: The length of the part of a host's name in a server's name: its end, which differs between pods of a Deployment.
_HOST_LENGTH = 27


def server_name(host: str, guid: str) -> str:
    """Returns the name of a server while it runs, at most 36 characters: its host's name and a unique part.

    Args:
        host: The host's name.
        guid: A new UUID.
    """
    return f"{host[-_HOST_LENGTH:]}-{guid[:8]}"


class _Keys(KeyStore, FetchStore, Protocol):
    """The parts of the store that are used here."""


class VerifierWatch:
    """Shares this server's notes, and reads those of all servers while a key waits to sign.

    If the store fails, keys are used and published as before, and the next key signs after `publish_before`.

    Args:
        server: The name of this server while it runs, of 36 characters at most.
        log: The verifiers that have fetched key sets from this server.
        signer: Publishes the keys of this server.
        store: The store of notes and keys.
        algorithms: The signing algorithms of pools.
        clock: The time.
        times: The times of keys.
        failed: Called with the failed step: `NOTE` or `ACTIVATE`.

    Attributes:
        behind: The number of verifiers of the last day that may not have a waiting key, at the last check.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all its parts
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
        self._written: tuple[int, frozenset[str]] = (0, frozenset())
        self._written_at = self._checked_at = self._removed_at = -math.inf
        self._failing: set[str] = set()
        self.behind = 0

    def register(self) -> None:
        """Announces to other servers, before the first read of keys, that key sets from here may lack their keys."""
        self._log_failures(NOTE, self._write_notes)

    def update(self, *, may_change: bool) -> bool:
        """Performs the steps that are due; called after each read of the keys.

        Args:
            may_change: Whether all keys of the read are in use here.

        Returns:
            Whether a key was changed.
        """
        before, self._published = self._published, self._signer.key_set().key_ids
        # A request that has just got an older key set is noted at the next call.
        published = before & self._published
        now = self._clock.monotonic()
        since = now - self._written_at
        changed = self._written != (self._fetches.changes, published)
        if since >= _SILENCE or (changed and since >= INTERVAL):
            self._log_failures(NOTE, lambda: self._write_notes(published))
        if now - self._removed_at >= _REMOVAL_INTERVAL:
            self._removed_at = now
            self._log_failures(NOTE, self._remove_old_notes)
        return self._activate_waiting(now, may_change=may_change)

    def stop(self) -> None:
        """Announces to other servers that this one no longer serves key sets."""
        if NOTE not in self._failing:
            self._log_failures(NOTE, lambda: self._write_notes(self._published, stopped=True))

    def _write_notes(self, published: frozenset[str] = frozenset(), *, stopped: bool = False) -> None:
        self._written_at = self._clock.monotonic()
        changes = self._fetches.changes  # read before the fetches
        fetches = self._fetches.fetches()
        notes = ServerNotes(
            self._server, int(self._clock.now()), stopped, published, fetches, self._fetches.uncounted_at
        )
        self._store.keep_fetch_record(record_of(notes))
        self._written = changes, published

    def _remove_old_notes(self) -> None:
        self._store.forget_fetch_records(int(self._clock.now()) - RETENTION_SECONDS - self._times.clock_skew)

    def _activate_waiting(self, now: float, *, may_change: bool) -> bool:
        """Reads the notes of all servers; returns whether a key was changed."""
        waiting = waiting_keys(self._signer.keys, self._algorithms, self._clock.now())
        if not waiting:
            self.behind = 0
            return False
        if now - self._checked_at < INTERVAL:
            return False
        self._checked_at = now
        changes: list[bool] = []
        self._log_failures(ACTIVATE, lambda: changes.extend(self._activate_keys(waiting, may_change=may_change)))
        return any(changes)

    def _activate_keys(self, waiting: Sequence[SigningKey], *, may_change: bool) -> Sequence[bool]:
        notes = [*map(notes_of, self._store.fetch_records())]
        now = self._clock.now()
        self.behind = sum(bool(each.behind) for each in verifier_keys(waiting, notes, self._times, now))
        return [self._activate_early(key, notes, now) for key in waiting if may_change]

    def _activate_early(self, key: SigningKey, notes: Sequence[ServerNotes], now: float) -> bool:
        signs_from = early_signing_time(key, notes, self._times, now)
        if signs_from is None:
            return False
        try:
            self._store.replace_signs_from(key, signs_from)
        except StaleReading:  # another server has done it, or the key is gone
            return True
        _log.info("every verifier has the next signing key", extra={"key_id": key.kid, "signs_from": signs_from})
        return True

    def _log_failures(self, what: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - the thread must continue after any error
            self._failed(what)
            if what not in self._failing:
                log_problem("verifiers cannot be followed; keys sign after publish_before", error, step=what)
            self._failing.add(what)
        else:
            self._failing.discard(what)
