"""The bounded record of who has fetched which key set. Known verifiers stay known."""

from datetime import timedelta

import pytest
from tests.fakes.clock import FakeClock

from tokend_server.engines.local.keys import fetch_log
from tokend_server.engines.local.keys.fetch_log import (
    MAX_VERIFIERS,
    MAX_VERIFIERS_PER_ADDRESS,
    RETENTION_SECONDS,
    FetchLog,
)
from tokend_server.engines.local.keys.fetches import Fetch, ServerNotes, Verifier, notes_of, record_of
from tokend_server.engines.local.keys.store import FetchRecord
from tokend_server.model import KeySet

START = 1_800_000_000


def key_set(*kids: str) -> KeySet:
    return KeySet(b"{}", timedelta(seconds=300), frozenset(kids))


OLD, NEW = key_set("a"), key_set("a", "b")


class Log:
    """A log with a clock set by the test; counts verifiers beyond its limit."""

    def __init__(self) -> None:
        self.clock = FakeClock(START)
        self.uncounted = 0
        self.log = FetchLog(self.clock, self._count)

    def _count(self) -> None:
        self.uncounted += 1


@pytest.fixture
def noted() -> Log:
    return Log()


def test_the_last_fetch_of_each_verifier_is_known(noted: Log) -> None:
    noted.log.note(OLD, "192.0.2.1", b"envoy")
    noted.clock.advance(10)
    noted.log.note(OLD, "192.0.2.2", b"envoy")
    noted.log.note(OLD, "192.0.2.1", b"istio")
    noted.clock.advance(10)
    noted.log.note(NEW, "192.0.2.1", b"envoy")
    assert noted.log.fetches() == (
        Fetch(Verifier("192.0.2.2", "envoy"), START + 10, OLD.key_ids),
        Fetch(Verifier("192.0.2.1", "istio"), START + 10, OLD.key_ids),
        Fetch(Verifier("192.0.2.1", "envoy"), START + 20, NEW.key_ids),
    )
    assert len(noted.log) == 3


def test_only_new_verifiers_and_key_sets_count_as_changes(noted: Log) -> None:
    changes = []
    for given in (OLD, OLD, NEW, NEW, OLD):
        noted.log.note(given, "192.0.2.1", b"envoy")
        changes.append(noted.log.changes)
    assert changes == [1, 1, 2, 2, 3]


def test_a_user_agent_is_cut_and_printable(noted: Log) -> None:
    noted.log.note(OLD, "192.0.2.1", b"\x1b[2J\xff\x7f ~" + b"x" * 10_000)
    ((verifier, _, _),) = noted.log.fetches()
    assert verifier.user_agent == "?[2J?? ~" + "x" * 112


def test_a_day_after_its_last_fetch_a_verifier_is_forgotten(noted: Log) -> None:
    noted.log.note(OLD, "192.0.2.1", b"gone")
    noted.log.note(OLD, "192.0.2.1", b"envoy")
    noted.clock.advance(RETENTION_SECONDS)
    noted.log.note(OLD, "192.0.2.1", b"envoy")
    assert len(noted.log.fetches()) == 2
    noted.clock.advance(1)
    assert [fetch.verifier.user_agent for fetch in noted.log.fetches()] == ["envoy"]


def test_a_flood_of_user_agents_evicts_no_verifier_and_is_counted(noted: Log) -> None:
    noted.log.note(OLD, "192.0.2.1", b"envoy")
    noted.log.note(OLD, "192.0.2.2", b"envoy")
    for number in range(2 * MAX_VERIFIERS_PER_ADDRESS):
        noted.log.note(OLD, "192.0.2.1", b"%d" % number)
    assert noted.uncounted == MAX_VERIFIERS_PER_ADDRESS + 1
    assert noted.log.uncounted_at == START
    noted.log.note(NEW, "192.0.2.2", b"envoy")
    noted.log.note(NEW, "192.0.2.1", b"envoy")
    noted.log.note(NEW, "192.0.2.3", b"another")
    assert len(noted.log) == MAX_VERIFIERS_PER_ADDRESS + 2
    assert [fetch.verifier for fetch in noted.log.fetches() if fetch.key_ids == NEW.key_ids] == [
        Verifier("192.0.2.2", "envoy"),
        Verifier("192.0.2.1", "envoy"),
        Verifier("192.0.2.3", "another"),
    ]


def test_the_number_of_verifiers_is_limited_and_all_expire_after_a_day(noted: Log) -> None:
    for number in range(MAX_VERIFIERS + 50):
        noted.log.note(OLD, f"192.0.{number >> 8}.{number & 255}", b"flood")
    assert (len(noted.log), noted.uncounted, noted.log.changes) == (MAX_VERIFIERS, 50, MAX_VERIFIERS + 1)
    noted.clock.advance(RETENTION_SECONDS + 1)
    noted.log.note(OLD, "192.0.2.1", b"envoy")
    assert len(noted.log.fetches()) == 1
    assert noted.log.uncounted_at is None


def test_notes_are_read_as_they_were_written() -> None:
    fetches = tuple(
        Fetch(Verifier(f"192.0.2.{number}", "envoy \u007e"), START + number, (OLD, NEW)[number % 2].key_ids)
        for number in range(100)
    )
    for notes in (
        ServerNotes("server", START, stopped=False, key_ids=NEW.key_ids, fetches=fetches, uncounted_at=7),
        ServerNotes("server", START, stopped=True, key_ids=frozenset(), fetches=()),
    ):
        record = record_of(notes)
        assert notes_of(record) == notes
        assert len(record.document) < 2048


def test_a_full_log_fits_into_an_item_of_dynamodb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_log, "MAX_VERIFIERS_PER_ADDRESS", MAX_VERIFIERS)
    log = Log()
    for number in range(MAX_VERIFIERS):
        agent = b"".join(b"%x" % (number * prime) for prime in (7919, 104729, 1299709, 15485863) * 5)
        log.log.note(key_set(f"kid-{number}"), "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", agent)
    notes = ServerNotes("s", START, stopped=False, key_ids=OLD.key_ids, fetches=log.log.fetches())
    assert len(record_of(notes).document) < 400_000


@pytest.mark.parametrize(
    "document", [b"", b"no zlib", record_of(ServerNotes("s", 0, stopped=False, key_ids=None, fetches=())).document[:-9]]
)
def test_unreadable_notes_are_parsed_as_incomplete(document: bytes) -> None:
    notes = notes_of(FetchRecord("server", START, document))
    assert (notes.key_ids, notes.uncounted_at, notes.stopped) == (None, START, False)
