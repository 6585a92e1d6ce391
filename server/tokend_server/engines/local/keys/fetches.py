"""A server's notes about verifiers that fetch key sets from it, and their format in the store."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from tokend_server.engines.local.keys.store import FetchRecord
from tokend_server.model import NumericDate

#: The version of the document format that this release reads.
_FORM = 1


class Verifier(NamedTuple):
    """A verifier, as far as verifiers can be distinguished.

    Attributes:
        address: The client address of its request, without the port.
        user_agent: Its user agent (RFC 9110, section 10.1.5): printable ASCII, truncated.
    """

    address: str
    user_agent: str


class Fetch(NamedTuple):
    """The last key set that a server has sent to a verifier.

    Attributes:
        verifier: The verifier.
        fetched_at: The time by the server's clock.
        key_ids: The keys in it.
    """

    verifier: Verifier
    fetched_at: NumericDate
    key_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class ServerNotes:
    """The notes of one server.

    Attributes:
        server: The name of the server.
        noted_at: The time of the notes by the server's clock.
        stopped: Whether it no longer sends key sets.
        key_ids: The keys in every key set that it has sent since, and in future ones; None if another release with a
            different format wrote the notes.
        fetches: The last fetch of each verifier.
        uncounted_at: The last fetch of a verifier for which there was no room in these notes; None if there was none.
    """

    server: str
    noted_at: NumericDate
    stopped: bool
    key_ids: frozenset[str] | None
    fetches: tuple[Fetch, ...]
    uncounted_at: NumericDate | None = None


def record_of(notes: ServerNotes) -> FetchRecord:
    """Returns the notes as a record for the store; a hundred verifiers take about 2 KB."""
    key_ids = frozenset(notes.key_ids or ())
    sets = list(dict.fromkeys([key_ids, *(fetch.key_ids for fetch in notes.fetches)]))
    numbers = {each: number for number, each in enumerate(sets)}
    document = {
        "form": _FORM,
        "stopped": notes.stopped,
        "uncounted_at": notes.uncounted_at,
        "key_sets": [sorted(each) for each in sets],  # the first is what the server publishes
        "fetches": [[*fetch.verifier, fetch.fetched_at, numbers[fetch.key_ids]] for fetch in notes.fetches],
    }
    return FetchRecord(notes.server, notes.noted_at, zlib.compress(orjson.dumps(document)))


def notes_of(record: FetchRecord) -> ServerNotes:
    """Returns the notes in a record; a record in another release's format has no fetches and unknown keys."""
    try:
        return _read(record, orjson.loads(zlib.decompress(record.document)))
    except (zlib.error, ValueError, TypeError, KeyError, IndexError):
        at = record.noted_at
        return ServerNotes(record.server, at, stopped=False, key_ids=None, fetches=(), uncounted_at=at)


def _read(record: FetchRecord, document: Mapping[str, Any]) -> ServerNotes:
    if document["form"] != _FORM:
        raise ValueError
    sets = [frozenset(key_ids) for key_ids in document["key_sets"]]
    return ServerNotes(
        record.server,
        record.noted_at,
        document["stopped"],
        sets[0],
        tuple(
            Fetch(Verifier(address, user_agent), fetched_at, sets[number])
            for address, user_agent, fetched_at, number in document["fetches"]
        ),
        document["uncounted_at"],
    )
