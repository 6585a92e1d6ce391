"""Copies the contents of one store to another through their port, while the source may be in use.

Both stores list their identities ordered by id, so a run reads them in parallel and writes the differences. A run that
was interrupted is simply repeated; the next run also finds later changes. Once the source no longer changes, a last run
makes both equal.
"""

import hashlib
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

import orjson

from tokend_server.clock import Clock, Deadline
from tokend_server.engines.local.keys.fetches import ServerNotes, record_of
from tokend_server.engines.local.keys.keyring import SigningKey
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.engines.local.store import Change, Store
from tokend_server.errors import ConfigError, LimitExceeded
from tokend_server.model import Identity

#: The number of identities that are read at once, and created in one commit if the store supports as many.
_PAGE, _BATCH = 500, 500

#: The number of attempts for an identity whose logins other identities of the target hold.
_ATTEMPTS = 5

#: Called with a number of identities.
Progress = Callable[[int], None]


class Contents(NamedTuple):
    """A summary of a store's contents, for comparison.

    Attributes:
        identities: The number of identities.
        signing_keys: The number of signing keys.
        developer_providers: The number of pools whose developer provider it has.
        digest: A digest of all of these, in order, without the revisions of identities.
    """

    identities: int
    signing_keys: int
    developer_providers: int
    digest: str


@dataclass
class WriteCounts:
    """The numbers of identities that a run has written, by kind of change, and of keys."""

    created: int = 0
    changed: int = 0
    deleted: int = 0
    keys: int = 0


class StoreCopy:
    """A copy of one store to another.

    Args:
        source: The store that is read.
        target: The store that is written; data that the source lacks are removed only if requested.
        clock: The clock.
    """

    def __init__(self, source: Store, target: Store, clock: Clock) -> None:
        self._source = source
        self._target = target
        self._deadline = Deadline(clock)
        self._written = WriteCounts()

    def run(self, progress: Progress, *, delete: bool) -> WriteCounts:
        """Writes all differences.

        Args:
            progress: Called at intervals with the number of the source's identities that have been read.
            delete: Whether to remove data that the source lacks.

        Raises:
            ConfigError: The target has keys or identities that the source lacks, and `delete` is not set; or only the
                target has identities; or both are one store.
            EngineUnavailable: A store does not answer.
        """
        self._check_different_stores()
        ours, theirs = self._source.pools_with_identities(), self._target.pools_with_identities()
        if theirs and not ours:
            raise ConfigError(["store: FROM has no identities but TO has: check that they are not swapped"])
        self._copy_keys(delete=delete)
        self._copy_developer_providers()
        self._copy_kept_pools(delete=delete)
        seen = 0
        for pool in sorted(ours | theirs):
            new: list[Identity] = []
            for one, other in _paired_by_id(_identities(self._source, pool), _identities(self._target, pool)):
                seen += one is not None
                if one is None and other is not None:
                    self._remove(other, delete=delete)
                elif one is not None and other is None:
                    new.append(one)
                elif one is not None and other is not None and _encode(one) != _encode(other):
                    self._copy_identity(one)
                if len(new) == _BATCH:
                    self._create(new)
                    new.clear()
                if seen % _PAGE == 0:
                    progress(seen)
            self._create(new)
        progress(seen)
        return self._written

    def _check_different_stores(self) -> None:
        """Checks that the two stores differ. Their URLs do not show it: a host, file or table can have several names.

        A copy of a store to itself would revert, recreate or delete what servers change in the meantime.
        """
        # The record of a server that stopped long ago: other servers ignore it, and delete it if it is left.
        mark = record_of(ServerNotes(str(uuid.uuid4()), 0, stopped=True, key_ids=frozenset(), fetches=()))
        self._target.keep_fetch_record(mark)
        try:
            if mark in self._source.fetch_records():
                raise ConfigError(["store: FROM and TO are the same store"])
        finally:
            self._target.forget_fetch_records(mark.noted_at + 1)

    def _copy_keys(self, *, delete: bool) -> None:
        ours, theirs = self._source.signing_keys(), self._target.signing_keys()
        kept = {key.kid for key in ours}
        if extra := [key for key in theirs if key.kid not in kept]:
            if not delete:
                raise ConfigError([f"store: TO has {len(extra)} signing keys that FROM lacks; --delete removes them"])
            for key in extra:
                self._target.remove_signing_key(key.kid, lambda _keys: None)
        held = {key.kid: key for key in theirs}
        for key in ours:
            if key.kid not in held:
                self._target.add_signing_key(key)
                self._written.keys += 1
            else:
                self._written.keys += self._copy_key(held[key.kid], key)

    def _copy_key(self, held: SigningKey, key: SigningKey) -> bool:
        """Copies a key to the target, and returns whether it differed."""
        if key.material != held.material:
            self._target.replace_material(held, key.material)
        if key.signs_from != held.signs_from:
            self._target.replace_signs_from(held, key.signs_from)
        return (key.material, key.signs_from) != (held.material, held.signs_from)

    def _copy_developer_providers(self) -> None:
        kept = self._source.developer_providers()
        self._target.keep_developer_providers(
            lambda held: {pool: name for pool, name in kept.items() if held.get(pool) != name}
        )

    def _copy_kept_pools(self, *, delete: bool) -> None:
        held = {each.identity_pool_id: each for each in self._target.kept_pools()}
        for kept in self._source.kept_pools():
            own = held.pop(kept.identity_pool_id, None)
            if own is None or own.document != kept.document:
                self._target.keep_pool(own, kept.identity_pool_id, kept.document)
        if held and not delete:
            raise ConfigError([f"store: TO has {len(held)} pools that FROM lacks; --delete removes them"])
        for extra in held.values():
            self._target.forget_pool(extra)

    def _create(self, new: Sequence[Identity]) -> None:
        """Creates identities in one commit; if the target refuses it, retries each half separately."""
        if not new:
            return
        try:
            self._target.commit(*(Change(None, each) for each in new), deadline=self._deadline)
        except (StaleReading, LimitExceeded):
            if len(new) == 1:
                self._copy_identity(new[0])
                return
            half = len(new) // 2
            self._create(new[:half])
            self._create(new[half:])
        else:
            self._written.created += len(new)

    def _copy_identity(self, identity: Identity) -> None:
        """Copies an identity to the target, and updates the target's identities that still hold its logins."""
        for _ in range(_ATTEMPTS):
            if not (changes := self._changes_for(identity)):
                return
            with suppress(StaleReading):  # the source has changed between two reads
                self._target.commit(*changes, deadline=self._deadline)
                self._written.created += sum(change.before is None for change in changes)
                self._written.changed += sum(change.before is not None for change in changes)
                return

    def _changes_for(self, identity: Identity) -> list[Change]:
        """Returns the changes of one commit: the identity, and each identity of the target with one of its logins."""
        pool, changes = identity.identity_pool_id, []
        waiting, seen = [identity.identity_id], {identity.identity_id}
        while waiting:
            identity_id = waiting.pop()
            ours = self._source.read(pool, (), identity_id).named
            theirs = self._target.read(pool, (), identity_id).named
            if ours is None:
                if theirs is None:
                    continue
                ours = replace(theirs, logins=frozenset(), disabled=True)  # it has been deleted: its logins are free
            if theirs is None or _encode(theirs) != _encode(ours):
                changes.append(Change(theirs, ours))
            others = set(filter(None, self._target.owners(pool, tuple(ours.logins)))) - seen
            waiting += others
            seen |= others
        return changes

    def _remove(self, identity: Identity, *, delete: bool) -> None:
        if not delete:
            raise ConfigError([f"store: TO has {identity.identity_id}, which FROM lacks; --delete removes all such"])
        self._written.deleted += self._target.delete(identity.identity_id)


def identity_count(store: Store) -> int:
    """Returns the number of a store's identities.

    Raises:
        EngineUnavailable: It does not answer.
    """
    return sum(map(store.identity_count, store.pools_with_identities()))


def contents(store: Store, pools: Collection[str], progress: Progress) -> Contents:
    """Returns a summary of a store's contents.

    Args:
        store: The store.
        pools: The pools whose developer providers are included; those of other pools are ignored.
        progress: Called at intervals with the number of identities that have been read.

    Raises:
        EngineUnavailable: It does not answer.
    """
    count, digest = 0, hashlib.sha256()
    for pool in sorted(store.pools_with_identities()):
        for identity in _identities(store, pool):
            digest.update(_encode(identity))
            count += 1
            if count % _PAGE == 0:
                progress(count)
    keys = store.signing_keys()
    for key in sorted(keys, key=lambda each: each.kid):
        digest.update(f"{key.kid} {key.algorithm} {key.generation} {key.creation_date} {key.signs_from}\n".encode())
        digest.update(key.material.reveal().encode())
    providers = sorted(each for each in store.developer_providers().items() if each[0] in pools)
    digest.update(orjson.dumps(providers))
    for kept in store.kept_pools():
        digest.update(f"{kept.identity_pool_id}\n".encode() + kept.document)
    progress(count)
    return Contents(count, len(keys), len(providers), digest.hexdigest())


def _identities(store: Store, identity_pool_id: str) -> Iterator[Identity]:
    after = None
    while page := store.identities(identity_pool_id, max_results=_PAGE, after=after, hide_disabled=False):
        yield from page
        after = page[-1].identity_id


def _paired_by_id(
    ours: Iterator[Identity], theirs: Iterator[Identity]
) -> Iterator[tuple[Identity | None, Identity | None]]:
    """Yields pairs with the same id, in order; None if one side lacks the id."""
    left, right = next(ours, None), next(theirs, None)
    while left or right:
        if right is None or (left is not None and left.identity_id < right.identity_id):
            yield left, None
            left = next(ours, None)
        elif left is None or right.identity_id < left.identity_id:
            yield None, right
            right = next(theirs, None)
        else:
            yield left, right
            left, right = next(ours, None), next(theirs, None)


def _encode(identity: Identity) -> bytes:
    """Returns a canonical encoding of an identity without its revision."""
    logins = sorted((login.provider_name, login.user_identifier.reveal()) for login in identity.logins)
    return orjson.dumps(
        [
            identity.identity_id,
            identity.identity_pool_id,
            identity.creation_date,
            identity.last_modified_date,
            identity.disabled,
            logins,
        ]
    )
