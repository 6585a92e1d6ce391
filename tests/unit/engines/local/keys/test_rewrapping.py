import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes.clock import FakeClock

from tokend_server.clock import Deadline
from tokend_server.config import KeyTimes
from tokend_server.engines.local.keys.file_wrapping import FILE, FileWrapping
from tokend_server.engines.local.keys.jws import TokenType
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.manager import new_signing_key
from tokend_server.engines.local.keys.opening import CLEAR, KeysByMethod, method_of
from tokend_server.engines.local.keys.rewrapping import RewrapOutcome, Rewrapped, Rewrapping
from tokend_server.engines.local.keys.signer import TokenSigner
from tokend_server.engines.local.keys.stored_keys import StoredKeys
from tokend_server.engines.local.keys.wrapping import Clear, Wrappings
from tokend_server.engines.local.keys.wrapping_files import KeyFile, PassphraseFile
from tokend_server.engines.local.stores.sqlite.store import SqliteStore, open_store
from tokend_server.errors import EngineMisconfigured, EngineUnavailable
from tokend_server.model import Secret

CLEARLY = Clear()


@pytest.fixture(scope="module")
def keys() -> Sequence[SigningKey]:
    algorithms = (SigningAlgorithm.ES256, SigningAlgorithm.ES256, SigningAlgorithm.RS256)
    return [
        new_signing_key(StoredKeys(), algorithm, generation=generation + 1, created=generation)
        for generation, algorithm in enumerate(algorithms)
    ]


@pytest.fixture
def store(keys: Sequence[SigningKey], tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(open_store(tmp_path / "tokend.db")) as opened:
        opened.migrate()
        for key in keys:
            opened.add_signing_key(key)
        yield opened


@pytest.fixture
def key_file(tmp_path: Path) -> KeyFile:
    path = tmp_path / "key"
    path.write_bytes(os.urandom(32))
    return KeyFile(path)


def under(file: KeyFile | PassphraseFile, *previous: KeyFile | PassphraseFile) -> Wrappings:
    wrapping = FileWrapping(file, previous, os.urandom)
    return Wrappings(wrapping, {CLEAR: CLEARLY, FILE: wrapping})


def in_clear(*previous: KeyFile | PassphraseFile) -> Wrappings:
    return Wrappings(CLEARLY, {CLEAR: CLEARLY, FILE: FileWrapping(None, previous, os.urandom)})


def run(store: SqliteStore, wrappings: Wrappings) -> list[RewrapOutcome]:
    return [each.outcome for each in Rewrapping(store, wrappings).run()]


def unchanged(key: SigningKey) -> SigningKey:
    """Returns the parts of a key that verifiers and the plan use."""
    return replace(key, material=Secret(""))


def private_keys(store: SqliteStore, wrappings: Wrappings) -> list[Secret]:
    return [wrappings.by_method[method_of(key.material)].unwrap(key) for key in store.signing_keys()]


def test_keys_are_rewrapped_by_each_method_and_otherwise_unchanged(
    store: SqliteStore, key_file: KeyFile, tmp_path: Path
) -> None:
    other, passphrase = tmp_path / "other", tmp_path / "passphrase"
    other.write_bytes(os.urandom(32))
    passphrase.write_bytes(b"correct horse battery staple")
    second, third = KeyFile(other), PassphraseFile(passphrase, os.urandom)
    before = store.signing_keys()
    ways = (under(key_file), under(second, key_file), under(third, second), in_clear(third))
    methods = []
    for wrappings in ways:
        assert run(store, wrappings) == [RewrapOutcome.REWRAPPED] * 3
        assert run(store, wrappings) == [RewrapOutcome.IS_CURRENT] * 3
        methods.append({method_of(key.material) for key in store.signing_keys()})
        assert list(map(unchanged, store.signing_keys())) == list(map(unchanged, before))
        assert private_keys(store, wrappings) == [key.material for key in before]
    assert methods == [{FILE}, {FILE}, {FILE}, {CLEAR}]
    assert store.signing_keys() == before


def test_a_running_server_publishes_the_same_keys_and_signs_after_rewrapping(
    store: SqliteStore, key_file: KeyFile
) -> None:
    wrappings, clock = under(key_file), FakeClock(now=1000)
    manager = KeysByMethod(StoredKeys(wrappings.current), {m: StoredKeys(w) for m, w in wrappings.by_method.items()})
    signer = TokenSigner(store, manager, clock, KeyTimes())
    signer.refresh()
    published = signer.key_set().jwks
    run(store, wrappings)
    signer.refresh()
    assert signer.key_set().jwks == published
    assert signer.sign({"exp": 0}, SigningAlgorithm.RS256, TokenType.JWS, Deadline(clock)).key_id


def test_a_plan_changes_nothing(store: SqliteStore, key_file: KeyFile) -> None:
    before = store.signing_keys()
    planned = Rewrapping(store, under(key_file)).plan()
    assert planned == [Rewrapped(key, RewrapOutcome.TO_BE_REWRAPPED) for key in before]
    assert store.signing_keys() == before


def test_nothing_is_changed_while_a_key_cannot_be_opened(store: SqliteStore, key_file: KeyFile, tmp_path: Path) -> None:
    path = tmp_path / "lost"
    path.write_bytes(os.urandom(32))
    last = store.signing_keys()[-1]
    lost = FileWrapping(KeyFile(path), (), os.urandom)
    store.replace_material(last, lost.wrap(last.kid, last.algorithm, last.material))
    before, wrappings = store.signing_keys(), under(key_file)
    for by_method in (wrappings.by_method, {FILE: wrappings.current}, {CLEAR: CLEARLY}):
        with pytest.raises(EngineMisconfigured):
            run(store, Wrappings(wrappings.current, by_method))
        assert store.signing_keys() == before


def test_material_that_cannot_be_unwrapped_is_never_stored(store: SqliteStore, key_file: KeyFile) -> None:
    class Lossy(Clear):
        def wrap(self, kid: str, algorithm: SigningAlgorithm, private_key: Secret) -> Secret:
            return Secret(super().wrap(kid, algorithm, private_key).reveal()[:-9])

        def is_current(self, key: SigningKey) -> bool:
            del key
            return False

    before = store.signing_keys()
    with pytest.raises(AssertionError, match="differs after it is unwrapped"):
        run(store, Wrappings(Lossy(), under(key_file).by_method))
    assert store.signing_keys() == before


def test_a_key_with_its_private_key_outside_the_store_is_not_rewrapped(store: SqliteStore, key_file: KeyFile) -> None:
    last = store.signing_keys()[-1]
    store.replace_material(last, Secret('{"method": "elsewhere"}'))
    rewrapping = Rewrapping(store, under(key_file), frozenset({"elsewhere"}))
    assert [each.outcome for each in rewrapping.run()] == [
        RewrapOutcome.REWRAPPED,
        RewrapOutcome.REWRAPPED,
        RewrapOutcome.IS_ELSEWHERE,
    ]


class Meddling:
    """A store where another process changes a key just before this one does."""

    def __init__(self, store: SqliteStore, interfere: Callable[[SigningKey], object]) -> None:
        self._store = store
        self._meddle = interfere
        self.signing_keys = store.signing_keys

    def replace_material(self, key: SigningKey, material: Secret) -> None:
        self._meddle(key)
        self._store.replace_material(key, material)


def run_with_interference(
    store: SqliteStore, wrappings: Wrappings, interfere: Callable[[SigningKey], object]
) -> list[RewrapOutcome]:
    return [each.outcome for each in Rewrapping(Meddling(store, interfere), wrappings).run()]  # type: ignore[arg-type]


def test_concurrent_rewraps_change_each_key_once(store: SqliteStore, key_file: KeyFile) -> None:
    wrappings, private = under(key_file), [key.material for key in store.signing_keys()]
    others: list[RewrapOutcome] = []
    done = run_with_interference(store, wrappings, lambda _key: others.extend(run(store, wrappings)))
    assert done == [RewrapOutcome.IS_CURRENT] * 3
    assert others == [RewrapOutcome.REWRAPPED] * 3 + [RewrapOutcome.IS_CURRENT] * 6
    assert private_keys(store, wrappings) == private


def test_a_key_that_is_removed_meanwhile_stays_removed(store: SqliteStore, key_file: KeyFile) -> None:
    kids = [key.kid for key in store.signing_keys()]

    def remove(key: SigningKey) -> None:
        if key.kid == kids[1]:
            store.remove_signing_key(key.kid, lambda _keys: None)

    assert run_with_interference(store, under(key_file), remove) == [
        RewrapOutcome.REWRAPPED,
        RewrapOutcome.WAS_REMOVED,
        RewrapOutcome.REWRAPPED,
    ]
    assert [key.kid for key in store.signing_keys()] == [kids[0], kids[2]]


def test_concurrent_rewraps_with_different_keys_give_up(store: SqliteStore, key_file: KeyFile, tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_bytes(os.urandom(32))
    other = KeyFile(path)

    def undo(_key: SigningKey) -> None:
        run(store, in_clear(key_file, other))
        run(store, under(other, key_file))

    with pytest.raises(EngineUnavailable, match="too many processes"):
        run_with_interference(store, under(key_file, other), undo)
    assert run(store, under(key_file, other)) == [RewrapOutcome.REWRAPPED] * 3
