"""Which verifiers have a key: pure functions of what all servers have noted, and the time.

Clocks of two servers differ, so that of two fetches of a verifier from two servers the later one is known only where
they are further apart than that. A verifier counts as behind wherever it may be.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tokend_server.config import KeyTimes
from tokend_server.engines.local.keys.fetches import Fetch, ServerNotes, Verifier
from tokend_server.engines.local.keys.keyring import SigningKey
from tokend_server.model import NumericDate

#: A verifier counts for so many seconds after its last fetch.
_DAY = 86_400


class Seen(NamedTuple):
    """What one verifier has.

    Attributes:
        verifier: The verifier.
        fetched_at: When it last fetched.
        behind: Those of the keys asked about that it may not have, by `kid`, in their order.
    """

    verifier: Verifier
    fetched_at: NumericDate
    behind: tuple[str, ...]


def seen(keys: Iterable[SigningKey], notes: Iterable[ServerNotes], times: KeyTimes, now: float) -> Sequence[Seen]:
    """What each verifier has that fetched within the last day: first those that are behind, the longest ago first.

    Args:
        keys: The keys that are asked about.
        notes: What all servers have noted.
        times: The times of keys.
        now: The time.
    """
    asked = list(keys)
    found = [
        Seen(
            verifier,
            max(fetch.fetched_at for fetch in fetches),
            tuple(key.kid for key in asked if not _has(fetches, key.kid, times)),
        )
        for verifier, fetches in _fetches(notes, since=now - _DAY - times.clock_skew).items()
    ]
    return sorted(found, key=lambda each: (not each.behind, each.fetched_at, each.verifier))


def held_back_by(key: SigningKey, notes: Iterable[ServerNotes], times: KeyTimes, now: float) -> Sequence[ServerNotes]:
    """The servers that may give out key sets without a key, and those that do not know all of their verifiers.

    One that has been silent for `publish_before` gives out key sets that are not to be kept (`key_set_age`).
    """
    return [each for each in notes if _lacks(each, key, times, now) or _has_uncounted(each, times, now)]


def begins_early(key: SigningKey, notes: Sequence[ServerNotes], times: KeyTimes, now: float) -> NumericDate | None:
    """From when a key that waits may sign, since every verifier has it; None: from when it is to sign anyway.

    A key that was added to sign later than `publish_before` was meant to.

    Args:
        key: The key.
        notes: What all servers have noted, as of now.
        times: The times of keys.
        now: The time.
    """
    at = int(now) + times.about_to_sign
    if (
        not times.when_seen
        or now < key.creation_date + times.cache_age
        or not key.creation_date < key.signs_from <= key.creation_date + times.publish_before
        or at >= key.signs_from
        or held_back_by(key, notes, times, now)
    ):
        return None
    verifiers = seen([key], notes, times, now)
    return at if verifiers and not any(each.behind for each in verifiers) else None


def _fetches(notes: Iterable[ServerNotes], since: float) -> Mapping[Verifier, Sequence[Fetch]]:
    found: dict[Verifier, list[Fetch]] = defaultdict(list)
    for server in notes:
        for fetch in server.fetches:
            if fetch.fetched_at >= since:
                found[fetch.verifier].append(fetch)
    return found


def _has(fetches: Iterable[Fetch], kid: str, times: KeyTimes) -> bool:
    """Whether a verifier has a key, by its last fetch from each server."""
    given = [fetch.fetched_at for fetch in fetches if kid in fetch.key_ids]
    older = [fetch.fetched_at for fetch in fetches if kid not in fetch.key_ids]
    return bool(given) and max(given) > max(older, default=-times.clock_skew - 1) + times.clock_skew


def _lacks(server: ServerNotes, key: SigningKey, times: KeyTimes, now: float) -> bool:
    silent = now - server.noted_at > times.publish_before + times.clock_skew
    return not (server.stopped or silent) and (server.key_ids is None or key.kid not in server.key_ids)


def _has_uncounted(server: ServerNotes, times: KeyTimes, now: float) -> bool:
    return server.uncounted_at is not None and server.uncounted_at >= now - _DAY - times.clock_skew
