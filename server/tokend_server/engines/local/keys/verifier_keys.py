"""Determines which verifiers have a key: pure functions of the notes of all servers and the time.

The clocks of servers differ, so the order of a verifier's fetches from two servers is known only if the difference of
their times is larger. In case of doubt, a verifier counts as behind.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tokend_server.config import KeyTimes
from tokend_server.engines.local.keys.fetches import Fetch, ServerNotes, Verifier
from tokend_server.engines.local.keys.keyring import SigningKey
from tokend_server.model import NumericDate

#: Seconds for which a verifier is considered after its last fetch.
_DAY = 86_400


class VerifierKeys(NamedTuple):
    """The keys of one verifier.

    Attributes:
        verifier: The verifier.
        fetched_at: When it last fetched.
        behind: The `kid` of each requested key that it may not have, in order.
    """

    verifier: Verifier
    fetched_at: NumericDate
    behind: tuple[str, ...]


def verifier_keys(
    keys: Iterable[SigningKey], notes: Iterable[ServerNotes], times: KeyTimes, now: float
) -> Sequence[VerifierKeys]:
    """Returns the keys of each verifier of the last day: first those that are behind, the oldest fetch first.

    Args:
        keys: The requested keys.
        notes: The notes of all servers.
        times: The times of keys.
        now: The time.
    """
    requested = list(keys)
    found = [
        VerifierKeys(
            verifier,
            max(fetch.fetched_at for fetch in fetches),
            tuple(key.kid for key in requested if not _has(fetches, key.kid, times)),
        )
        for verifier, fetches in _fetches(notes, since=now - _DAY - times.clock_skew).items()
    ]
    return sorted(found, key=lambda each: (not each.behind, each.fetched_at, each.verifier))


def servers_without_key(
    key: SigningKey, notes: Iterable[ServerNotes], times: KeyTimes, now: float
) -> Sequence[ServerNotes]:
    """Returns the servers that may serve key sets without a key, or that do not know all of their verifiers.

    A server without new notes for `publish_before` serves key sets that must not be cached (`key_set_age`).
    """
    return [each for each in notes if _lacks(each, key, times, now) or _has_uncounted(each, times, now)]


def early_signing_time(
    key: SigningKey, notes: Sequence[ServerNotes], times: KeyTimes, now: float
) -> NumericDate | None:
    """Returns when a waiting key may sign because every verifier has it; None if not earlier than planned.

    A key that was added to sign later than after `publish_before` is not activated early.

    Args:
        key: The key.
        notes: The current notes of all servers.
        times: The times of keys.
        now: The time.
    """
    at = int(now) + times.about_to_sign
    if (
        not times.when_seen
        or now < key.creation_date + times.cache_age
        or not key.creation_date < key.signs_from <= key.creation_date + times.publish_before
        or at >= key.signs_from
        or servers_without_key(key, notes, times, now)
    ):
        return None
    verifiers = verifier_keys([key], notes, times, now)
    return at if verifiers and not any(each.behind for each in verifiers) else None


def _fetches(notes: Iterable[ServerNotes], since: float) -> Mapping[Verifier, Sequence[Fetch]]:
    found: dict[Verifier, list[Fetch]] = defaultdict(list)
    for server in notes:
        for fetch in server.fetches:
            if fetch.fetched_at >= since:
                found[fetch.verifier].append(fetch)
    return found


def _has(fetches: Iterable[Fetch], kid: str, times: KeyTimes) -> bool:
    """Returns whether a verifier has a key, from its last fetch from each server."""
    given = [fetch.fetched_at for fetch in fetches if kid in fetch.key_ids]
    older = [fetch.fetched_at for fetch in fetches if kid not in fetch.key_ids]
    return bool(given) and max(given) > max(older, default=-times.clock_skew - 1) + times.clock_skew


def _lacks(server: ServerNotes, key: SigningKey, times: KeyTimes, now: float) -> bool:
    silent = now - server.noted_at > times.publish_before + times.clock_skew
    return not (server.stopped or silent) and (server.key_ids is None or key.kid not in server.key_ids)


def _has_uncounted(server: ServerNotes, times: KeyTimes, now: float) -> bool:
    return server.uncounted_at is not None and server.uncounted_at >= now - _DAY - times.clock_skew
