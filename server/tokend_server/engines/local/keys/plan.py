"""The plan of key rotation: a pure function of the keys, their times and the time.

All processes make the same plan, so no leader is needed: the store accepts each generation of an algorithm once.
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
    """An action on a key."""

    ADD = "add"
    SIGN = "sign"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Step:
    """A planned action on a key.

    Attributes:
        at: Its time; a step in the past is due.
        action: A process adds the key, the key starts to sign by itself, or a process removes it.
        algorithm: The key's algorithm.
        generation: The key's position in the succession.
        kid: The key; None if it does not exist yet.
        signs_from: When the key starts to sign.
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
    """Returns the steps for the keys of an algorithm from now on, in order.

    Args:
        keys: All keys.
        algorithm: The algorithm.
        times: The times of keys.
        now: The time.
        in_use: Whether a pool signs with the algorithm; other algorithms get no new keys.
    """
    found = succession(keys, algorithm)
    added = _next_addition(found, algorithm, times, now) if in_use else None
    steps = [*([added] if added else []), *_signing_steps(found, now), *_removals(found, times)]
    return sorted(steps, key=attrgetter("at", "generation"))


def next_key(keys: Iterable[SigningKey], algorithm: SigningAlgorithm, times: KeyTimes, now: float) -> Step:
    """Returns the step to the next key of an algorithm: a new key, or a waiting one that signs no later."""
    found = succession(keys, algorithm)
    if waiting := [step for step in _signing_steps(found, now) if step.at <= now + times.publish_before]:
        return min(waiting, key=attrgetter("at"))
    generation = found[0].generation + 1 if found else 1
    return _addition(algorithm, generation, at=int(now), signs_from=int(now) + times.publish_before)


def waiting_keys(
    keys: Iterable[SigningKey], algorithms: Iterable[SigningAlgorithm], now: float
) -> Sequence[SigningKey]:
    """Returns the existing key of each algorithm that signs next."""
    held = list(keys)
    first = [
        min(_signing_steps(succession(held, each), now), key=attrgetter("at"), default=None) for each in algorithms
    ]
    kids = {step.kid for step in first if step}
    return [key for key in held if key.kid in kids]


def replacement(
    keys: Sequence[SigningKey], key: SigningKey, times: KeyTimes, now: float, *, in_use: bool = True
) -> Sequence[Step]:
    """Returns the steps that remove a compromised key; if it signs or soon will, another key first signs at once."""
    at = int(now)
    removal = Step(at, Action.REMOVE, key.algorithm, key.generation, key.kid, key.signs_from)
    if not in_use or not signs_soon(key, keys, times, now):
        return [removal]
    generation = succession(keys, key.algorithm)[0].generation + 1
    # It signs at once even by slow clocks.
    return [_addition(key.algorithm, generation, at=at, signs_from=at - times.clock_skew), removal]


def signs_soon(key: SigningKey, keys: Sequence[SigningKey], times: KeyTimes, now: float) -> bool:
    """Returns whether a key signs now, or will sign before all processes observe a change."""
    return any(key_state(key, keys, moment) is KeyState.SIGNING for moment in (now, now + times.about_to_sign))


def next_rotation(keys: Iterable[SigningKey], algorithm: SigningAlgorithm, times: KeyTimes, now: float) -> float:
    """Returns when the next key of the algorithm should sign, whether or not it has been added; infinite if unknown.

    The result does not change if that time passes without a new key.
    """
    found = succession(keys, algorithm)
    horizon = _horizon(times) + now
    if waiting := [step.at for step in _signing_steps(found, now) if step.at <= horizon]:
        return min(waiting)
    current = signing_key(found, now)
    return current.signs_from + times.rotate_every if current and times.rotate_every else math.inf


def key_set_age(times: KeyTimes, since_reading: float, unpublished: Iterable[SigningKey], now: float) -> int:
    """Returns the seconds for which verifiers may cache the key set: at most until a key that it lacks may sign.

    Args:
        times: The times of keys.
        since_reading: Seconds since the keys were last read: others may have been added since.
        unpublished: Keys that were read but are not in the key set.
        now: The time.
    """
    bounds = [
        times.min_signing_delay - since_reading,
        *(_earliest_signing_time(key, times) - now for key in unpublished),
    ]
    return max(0, int(min(times.cache_age, min(bounds) - times.clock_skew)))


def _earliest_signing_time(key: SigningKey, times: KeyTimes) -> NumericDate:
    """Returns the earliest time at which a key may sign."""
    return min(key.signs_from, key.creation_date + times.min_signing_delay) if times.when_seen else key.signs_from


def _next_addition(
    found: Sequence[SigningKey], algorithm: SigningAlgorithm, times: KeyTimes, now: float
) -> Step | None:
    """Returns the step that adds the next key of a succession; None if no key is added automatically.

    The very first key is created at a start: if keys disappear while a server runs, there is another problem.
    """
    if not found or times.rotate_every is None:
        return None
    # A key from a clock that is far ahead signs much later, if ever: rotation does not wait for it.
    newest = next((key for key in found if key.signs_from <= now + _horizon(times)), None)
    due = newest.signs_from + times.rotate_every - times.publish_before if newest else int(now)
    return _addition(algorithm, found[0].generation + 1, at=due, signs_from=max(due, int(now)) + times.publish_before)


def _horizon(times: KeyTimes) -> float:
    """Returns the seconds within which a waiting key must sign so that no further key is added."""
    return math.inf if times.rotate_every is None else times.rotate_every + times.publish_before


def _addition(algorithm: SigningAlgorithm, generation: int, *, at: NumericDate, signs_from: NumericDate) -> Step:
    return Step(at, Action.ADD, algorithm, generation, None, signs_from)


def _signing_steps(found: Sequence[SigningKey], now: float) -> Iterator[Step]:
    """Yields the keys that will sign, because no newer key signs before them."""
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
