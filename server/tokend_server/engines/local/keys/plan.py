"""What happens to the keys of an algorithm, and when: a pure function of the keys, their times and the time.

Every process plans alike, so that none of them has to lead: the store takes each generation of an algorithm once.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter

from tokend_server.config import KeyTimes
from tokend_server.engines.local.keys.keyring import (
    KeyState,
    SigningAlgorithm,
    SigningKey,
    key_state,
    signing_key,
    succession,
    tokens_expired_by,
)
from tokend_server.model import NumericDate


class Action(Enum):
    """What happens to a key."""

    ADD = "add"
    SIGN = "sign"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens to a key.

    Attributes:
        at: When: what is in the past is due.
        action: A process adds the key, it begins to sign by itself, or a process removes it.
        algorithm: The key's algorithm.
        generation: The key's place in the succession.
        kid: The key; None where it is yet to be made.
        signs_from: When the key begins to sign.
    """

    at: NumericDate
    action: Action
    algorithm: SigningAlgorithm
    generation: int
    kid: str | None
    signs_from: NumericDate


def plan(
    keys: Iterable[SigningKey], algorithm: SigningAlgorithm, times: KeyTimes, now: float, *, in_use: bool = True
) -> Sequence[Step]:
    """What happens to the keys of an algorithm from now on, the first first.

    Args:
        keys: All keys.
        algorithm: The algorithm.
        times: The times of keys.
        now: The time.
        in_use: Whether a pool signs with the algorithm; the keys of others are not followed by new ones.
    """
    found = succession(keys, algorithm)
    added = _next_addition(found, algorithm, times, now) if in_use else None
    steps = [*([added] if added else []), *_beginnings(found, now), *_removals(found, times)]
    return sorted(steps, key=attrgetter("at", "generation"))


def next_key(keys: Iterable[SigningKey], algorithm: SigningAlgorithm, times: KeyTimes, now: float) -> Step:
    """What brings the next key of an algorithm now: it is added, or one waits that signs no later than it would."""
    found = succession(keys, algorithm)
    if waiting := [step for step in _beginnings(found, now) if step.at <= now + times.publish_before]:
        return min(waiting, key=attrgetter("at"))
    generation = found[0].generation + 1 if found else 1
    return _addition(algorithm, generation, at=int(now), signs_from=int(now) + times.publish_before)


def waiting_keys(
    keys: Iterable[SigningKey], algorithms: Iterable[SigningAlgorithm], now: float
) -> Sequence[SigningKey]:
    """The key of each of the algorithms that signs next, of those that there are."""
    held = list(keys)
    first = [min(_beginnings(succession(held, each), now), key=attrgetter("at"), default=None) for each in algorithms]
    kids = {step.kid for step in first if step}
    return [key for key in held if key.kid in kids]


def replacement(
    keys: Sequence[SigningKey], key: SigningKey, times: KeyTimes, now: float, *, in_use: bool = True
) -> Sequence[Step]:
    """What takes out a key that may be in other hands: first, where it signs or is about to, another signs at once."""
    at = int(now)
    removal = Step(at, Action.REMOVE, key.algorithm, key.generation, key.kid, key.signs_from)
    if not in_use or not signs_soon(key, keys, times, now):
        return [removal]
    generation = succession(keys, key.algorithm)[0].generation + 1
    # It signs at once by slow clocks too.
    return [_addition(key.algorithm, generation, at=at, signs_from=at - times.clock_skew), removal]


def signs_soon(key: SigningKey, keys: Sequence[SigningKey], times: KeyTimes, now: float) -> bool:
    """Whether one of the keys signs now, or before each process would follow a change."""
    return any(key_state(key, keys, moment) is KeyState.SIGNING for moment in (now, now + times.about_to_sign))


def next_rotation(keys: Iterable[SigningKey], algorithm: SigningAlgorithm, times: KeyTimes, now: float) -> float:
    """When another key of the algorithm is to sign, whether or not it has been added; infinite if at no known time.

    It stays where it is when that time has passed and no key was added.
    """
    found = succession(keys, algorithm)
    horizon = _horizon(times) + now
    if waiting := [step.at for step in _beginnings(found, now) if step.at <= horizon]:
        return min(waiting)
    current = signing_key(found, now)
    return current.signs_from + times.rotate_every if current and times.rotate_every else math.inf


def key_set_age(times: KeyTimes, since_reading: float, unpublished: Iterable[SigningKey], now: float) -> int:
    """For how many seconds verifiers may keep the key set: until a key that is not in it may begin to sign, at most.

    Args:
        times: The times of keys.
        since_reading: Seconds since the keys were last read: others may have been added since.
        unpublished: Keys that were read and are not in the key set.
        now: The time.
    """
    bounds = [times.soonest - since_reading, *(_soonest(key, times) - now for key in unpublished)]
    return max(0, int(min(times.cache_age, min(bounds) - times.clock_skew)))


def _soonest(key: SigningKey, times: KeyTimes) -> NumericDate:
    """From when a key may sign, whatever is seen meanwhile."""
    return min(key.signs_from, key.creation_date + times.soonest) if times.when_seen else key.signs_from


def _next_addition(
    found: Sequence[SigningKey], algorithm: SigningAlgorithm, times: KeyTimes, now: float
) -> Step | None:
    """When the next key of a succession is to be added; None where none is by itself.

    The first key of all is made at a start: where keys have vanished from under a server, something else is wrong.
    """
    if not found or times.rotate_every is None:
        return None
    # A key that a clock far ahead has made signs much later, if ever: rotation does not wait for it.
    newest = next((key for key in found if key.signs_from <= now + _horizon(times)), None)
    due = newest.signs_from + times.rotate_every - times.publish_before if newest else int(now)
    return _addition(algorithm, found[0].generation + 1, at=due, signs_from=max(due, int(now)) + times.publish_before)


def _horizon(times: KeyTimes) -> float:
    """Within how many seconds a key signs that others are not to be added beside."""
    return math.inf if times.rotate_every is None else times.rotate_every + times.publish_before


def _addition(algorithm: SigningAlgorithm, generation: int, *, at: NumericDate, signs_from: NumericDate) -> Step:
    return Step(at, Action.ADD, algorithm, generation, None, signs_from)


def _beginnings(found: Sequence[SigningKey], now: float) -> Iterator[Step]:
    """The keys that will sign: no newer one does before them."""
    current = signing_key(found, now)
    for key in found:
        if (
            key.signs_from > now
            and key != current
            and all(newer.signs_from > key.signs_from for newer in found if newer.generation > key.generation)
        ):
            yield Step(key.signs_from, Action.SIGN, key.algorithm, key.generation, key.kid, key.signs_from)


def _removals(found: Sequence[SigningKey], times: KeyTimes) -> Iterator[Step]:
    for key in found:
        if (end := tokens_expired_by(key, found, times)) is not None:
            yield Step(end, Action.REMOVE, key.algorithm, key.generation, key.kid, key.signs_from)
