"""What a server notes of those who fetch key sets from it, and how it is kept."""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from tokend_server.engines.local.keys.store import FetchRecord
from tokend_server.model import NumericDate

#: The form of documents that this release reads.
_FORM = 1


class Verifier(NamedTuple):
    """One who fetches key sets, as far as one can be known from another.

    Attributes:
        address: The address that the request came from, without its port.
        user_agent: What it calls itself (RFC 9110, section 10.1.5): printable ASCII, cut to a length.
    """

    address: str
    user_agent: str


class Fetch(NamedTuple):
    """The last key set that a server has given to a verifier.

    Attributes:
        verifier: Who.
        fetched_at: When, by the server's clock.
        key_ids: The keys in it.
    """

    verifier: Verifier
    fetched_at: NumericDate
    key_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class ServerNotes:
    """What one server has noted.

    Attributes:
        server: The server's name for itself.
        noted_at: When it was noted, by the server's clock.
        stopped: Whether it gives out no key sets any more.
        key_ids: The keys that are in each key set that it has given out since, and in those to come; None where the
            notes are those of a release that writes them in another way.
        fetches: The last fetch of each verifier.
        uncounted_at: When a verifier last fetched that had no room in these notes; None: none did.
    """

    server: str
    noted_at: NumericDate
    stopped: bool
    key_ids: frozenset[str] | None
    fetches: tuple[Fetch, ...]
    uncounted_at: NumericDate | None = None


def record_of(notes: ServerNotes) -> FetchRecord:
    """The notes as a store keeps them; a hundred verifiers take about 2 KB."""
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
    """The notes of a record; what another release has written in its own way has no fetches and unknown keys."""
    try:
        return _read(record, orjson.loads(zlib.decompress(record.document)))
    except (zlib.error, ValueError, TypeError, KeyError, IndexError):
        at = record.noted_at
        return ServerNotes(record.server, at, stopped=False, key_ids=None, fetches=(), uncounted_at=at)


def all_notes(records: Iterable[FetchRecord]) -> Sequence[ServerNotes]:
    """The notes of all servers."""
    return [notes_of(record) for record in records]


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
