"""Linearizability: the results of concurrent calls must be those of the same calls in some sequential order.

The specification is the engine itself with a store for one call at a time. The search for an order is that of Wing and
Gong, Testing and Verifying Concurrent Objects (1993), with memoized failed states as by Lowe.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, cast

from tests.linearizability.calls import Answer, Call, Engines, answer, pool

from tokend_server.clock import Deadline, SystemClock
from tokend_server.engines.local.administration import IdentityAdministration
from tokend_server.engines.local.engine import LocalEngine
from tokend_server.engines.local.keys.signer import SignedToken
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.engines.local.store import Change, IdentityStore, Reading
from tokend_server.model import Identity, Login, Secret

#: The result of a call whose server ended during it: it may have taken effect.
INTERRUPTED: Answer = ("interrupted",)


class MemoryStore:
    """An `IdentityStore` of one pool, each of whose methods is atomic."""

    def __init__(self, identities: Iterable[Identity] = ()) -> None:
        self.by_id = {identity.identity_id: identity for identity in identities}

    def owners(
        self, _identity_pool_id: str, logins: Iterable[Login], _deadline: Deadline | None = None
    ) -> Sequence[str | None]:
        return [self._owner(login) for login in logins]

    def read(
        self,
        _identity_pool_id: str,
        logins: Iterable[Login],
        identity_id: str | None = None,
        deadline: Deadline | None = None,
    ) -> Reading:
        del deadline  # no moment takes any time
        owners = {login: self.by_id[owner] for login in logins if (owner := self._owner(login))}
        return Reading(owners, self.by_id.get(identity_id or ""))

    def find(self, identity_id: str, deadline: Deadline | None = None) -> Identity | None:
        del deadline
        return self.by_id.get(identity_id)

    def identities(
        self, _identity_pool_id: str, *, max_results: int, after: str | None, hide_disabled: bool
    ) -> list[Identity]:
        raise NotImplementedError

    def commit(self, *changes: Change, deadline: Deadline) -> None:
        deadline.check()
        changed = dict(self.by_id)
        for change in changes:
            if changed.get(change.after.identity_id) != change.before:
                raise StaleReading
            revision = change.before.revision + 1 if change.before else 0
            changed[change.after.identity_id] = replace(change.after, revision=revision)
        linked = [login for identity in changed.values() for login in identity.logins]
        if len(linked) != len(set(linked)):
            raise StaleReading
        self.by_id = changed

    def delete(self, identity_id: str) -> bool:
        return self.by_id.pop(identity_id, None) is not None

    def _owner(self, login: Login) -> str | None:
        return next((identity.identity_id for identity in self.by_id.values() if login in identity.logins), None)


class NoSignature:
    """Signs nothing, since signatures do not matter here."""

    def sign(self, *_: object) -> SignedToken:
        return SignedToken(Secret("token"), "key")


def engines(identity_pool_id: str, store: IdentityStore, new_guid: Any) -> Engines:  # noqa: ANN401 - a function
    clock = SystemClock()
    engine = LocalEngine(
        pool(identity_pool_id), store, cast("Any", NoSignature()), clock, new_guid, lambda _caller: nullcontext()
    )
    return Engines(engine, IdentityAdministration(identity_pool_id, store, clock, new_guid))


@dataclass(frozen=True)
class Event:
    """A call with its result, and readings of one monotonic clock before and after it."""

    call: Call
    answer: Answer
    began: int
    ended: int


def is_explained(identity_pool_id: str, history: Sequence[Event], before: Iterable[Identity] = ()) -> bool:
    """Returns whether some order of the calls has the same results; calls stay after those that ended before them.

    Args:
        identity_pool_id: The pool.
        history: The calls.
        before: The identities before the first call.
    """
    led_nowhere: set[tuple[frozenset[int], frozenset[tuple[Any, ...]]]] = set()
    seen = sorted({event.answer[1] for event in history if event.answer[0] in {"identity", "users"}})

    def search(done: frozenset[int], state: Mapping[str, Identity]) -> bool:
        waiting = [number for number in range(len(history)) if number not in done]
        if not waiting:
            return True
        place = (done, frozenset((each.identity_id, each.logins, each.disabled) for each in state.values()))
        if place in led_nowhere:
            return False
        first_end = min(history[number].ended for number in waiting)
        for number in waiting:
            event = history[number]
            if event.began <= first_end and any(
                search(done | {number}, after) for after in _outcomes(identity_pool_id, state, event, seen)
            ):
                return True
        led_nowhere.add(place)
        return False

    return search(frozenset(), {identity.identity_id: identity for identity in before})


def _outcomes(
    identity_pool_id: str, state: Mapping[str, Identity], event: Event, seen: Sequence[str]
) -> Iterator[Mapping[str, Identity]]:
    """Returns the possible states after a call; none if its result would have been different."""
    if event.answer == INTERRUPTED:
        yield state
        # Had it made an identity, then one that was seen later, or one that nothing is known of.
        for identity_id in (*seen, "of:nothing seen"):
            if identity_id not in state:
                yield _applied(identity_pool_id, state, event.call, identity_id)[0]
        return
    new_id = event.answer[1] if event.answer[0] == "identity" else "of:nothing seen"
    after, answered = _applied(identity_pool_id, state, event.call, new_id)
    if answered == event.answer:
        yield after


def _applied(
    identity_pool_id: str, state: Mapping[str, Identity], call: Call, new_id: str
) -> tuple[Mapping[str, Identity], Answer]:
    """Returns the state after a call, and its result; a new identity gets `new_id`."""
    store = MemoryStore(state.values())
    serving = engines(identity_pool_id, store, lambda: new_id.partition(":")[2])
    answered = answer(serving, identity_pool_id, call)
    return store.by_id, answered
