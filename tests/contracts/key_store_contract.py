"""The contract of stores for signing keys: a test suite that runs for each kind of store."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from tests.contracts.store_contract import Refused, StoreUnderTest

from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.store import FetchRecord
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.engines.local.store import Store
from tokend_server.errors import EngineUnavailable
from tokend_server.model import Secret

ES256, RS256 = SigningAlgorithm.ES256, SigningAlgorithm.RS256


class KeyStoreContract(StoreUnderTest):
    """Signing keys, and records of their fetches."""

    def test_a_new_store_has_no_signing_keys(self, store: Store) -> None:
        assert store.signing_keys() == ()

    def test_keys_are_read_again_as_they_were_by_every_process(self, store: Store, other: Store) -> None:
        store.add_signing_key(kept := key(1))
        assert other.signing_keys() == store.signing_keys() == (kept,)
        assert other.signing_keys()[0].material.reveal() == kept.material.reveal()

    def test_the_keys_of_an_algorithm_are_in_the_order_of_their_generations(self, store: Store) -> None:
        for added in (key(2), key(10), key(1), key(1, RS256)):
            store.add_signing_key(added)
        found = [each.generation for each in store.signing_keys() if each.algorithm is ES256]
        assert found == [1, 2, 10]

    def test_a_generation_of_an_algorithm_is_added_once(self, store: Store, other: Store) -> None:
        store.add_signing_key(first := key(1))
        with pytest.raises(StaleReading):
            other.add_signing_key(key(1, kid="late"))
        other.add_signing_key(key(1, RS256))
        assert [each for each in store.signing_keys() if each.algorithm is ES256] == [first]

    def test_one_of_concurrent_processes_adds_a_generation(self, store: Store, other: Store) -> None:
        def add(number: int) -> str | None:
            try:
                (store, other)[number % 2].add_signing_key(key(1, kid=f"{number}"))
            except (StaleReading, EngineUnavailable):
                return None
            return f"{number}"

        with ThreadPoolExecutor(4) as threads:
            added = [each for each in threads.map(add, range(12)) if each]
        assert [each.kid for each in store.signing_keys()] == added
        assert len(added) == 1

    def test_the_decision_to_remove_a_key_sees_all_keys(self, store: Store, other: Store) -> None:
        for added in (first := key(1), second := key(2)):
            store.add_signing_key(added)
        seen: list[Sequence[SigningKey]] = []
        store.remove_signing_key(first.kid, seen.append)
        assert [tuple(each) for each in seen] == [(first, second)]
        assert other.signing_keys() == (second,)

    def test_a_decision_that_fails_removes_nothing(self, store: Store) -> None:
        def refuse(_keys: Sequence[SigningKey]) -> None:
            raise Refused

        store.add_signing_key(kept := key(1))
        with pytest.raises(Refused):
            store.remove_signing_key(kept.kid, refuse)
        assert store.signing_keys() == (kept,)

    def test_the_material_of_a_key_is_replaced_and_nothing_else(self, store: Store, other: Store) -> None:
        for added in (kept := key(1), wrapped := key(2)):
            store.add_signing_key(added)
        after = replace(wrapped, material=Secret('{"method": "\u00fc"}'))
        store.replace_material(wrapped, after.material)
        assert other.signing_keys() == store.signing_keys() == (kept, after)
        other.replace_material(after, wrapped.material)
        assert store.signing_keys() == (kept, wrapped)

    def test_the_material_of_a_changed_or_unknown_key_is_not_replaced(self, store: Store, other: Store) -> None:
        store.add_signing_key(read := key(1))
        other.replace_material(read, Secret("by another process"))
        for stale in (read, key(1, kid="of another name"), key(2), key(1, RS256)):
            with pytest.raises(StaleReading):
                store.replace_material(stale, Secret("late"))
        assert [each.material for each in store.signing_keys()] == [Secret("by another process")]

    def test_the_material_of_a_removed_key_is_not_replaced(self, store: Store, other: Store) -> None:
        store.add_signing_key(removed := key(1))
        other.remove_signing_key(removed.kid, lambda _keys: None)
        with pytest.raises(StaleReading):
            store.replace_material(removed, Secret("late"))
        assert store.signing_keys() == ()

    def test_one_of_concurrent_processes_replaces_the_material_of_a_key(self, store: Store, other: Store) -> None:
        store.add_signing_key(read := key(1))

        def replace_by(number: int) -> Secret | None:
            material = Secret(f"{number}")
            try:
                (store, other)[number % 2].replace_material(read, material)
            except (StaleReading, EngineUnavailable):
                return None
            return material

        with ThreadPoolExecutor(4) as threads:
            replaced = [each for each in threads.map(replace_by, range(12)) if each]
        assert [each.material for each in store.signing_keys()] == replaced
        assert len(replaced) == 1

    def test_the_signs_from_time_of_a_key_is_replaced_and_nothing_else(self, store: Store, other: Store) -> None:
        for added in (kept := key(1), moved := key(2)):
            store.add_signing_key(added)
        store.replace_signs_from(moved, after := moved.signs_from - 3000)
        assert other.signing_keys() == store.signing_keys() == (kept, replace(moved, signs_from=after))
        other.replace_material(moved, Secret("wrapped meanwhile"))
        assert store.signing_keys()[1] == replace(moved, signs_from=after, material=Secret("wrapped meanwhile"))

    def test_the_signs_from_time_of_a_changed_or_unknown_key_is_not_replaced(self, store: Store, other: Store) -> None:
        store.add_signing_key(read := key(1))
        store.add_signing_key(removed := key(2))
        other.replace_signs_from(read, read.signs_from - 1)
        other.remove_signing_key(removed.kid, lambda _keys: None)
        for stale in (read, removed, key(1, kid="of another name"), key(1, RS256)):
            with pytest.raises(StaleReading):
                store.replace_signs_from(stale, 7)
        assert [each.signs_from for each in store.signing_keys()] == [read.signs_from - 1]

    def test_the_decision_to_remove_a_key_sees_its_changed_signs_from_time(self, store: Store, other: Store) -> None:
        store.add_signing_key(read := key(1))
        seen: list[int] = []

        other.replace_signs_from(read, 7)
        store.remove_signing_key(read.kid, lambda keys: seen.append(keys[0].signs_from))
        assert seen == [7]

    def test_fetch_records_are_visible_to_all_processes(self, store: Store, other: Store) -> None:
        assert store.fetch_records() == []
        noted = [FetchRecord(name, 1_800_000_000 + number, bytes(range(256))) for number, name in enumerate("ab")]
        for each in reversed(noted):
            store.keep_fetch_record(each)
        assert other.fetch_records() == store.fetch_records() == noted

    def test_the_record_of_a_server_replaces_its_previous_one(self, store: Store, other: Store) -> None:
        for document in (b"first", b"", b"last"):
            store.keep_fetch_record(last := FetchRecord("a" * 36, 1_800_000_000, document))
        assert other.fetch_records() == [last]

    def test_notes_that_are_old_are_forgotten(self, store: Store, other: Store) -> None:
        store.forget_fetch_records(9)
        for number in range(5):
            store.keep_fetch_record(FetchRecord(f"{number}", number, b""))
        other.forget_fetch_records(3)
        assert [each.noted_at for each in store.fetch_records()] == [3, 4]

    def test_concurrent_fetch_records_of_servers_are_all_kept(self, store: Store, other: Store) -> None:
        def note(number: int) -> None:
            (store, other)[number % 2].keep_fetch_record(FetchRecord(f"{number % 4}", number, b"%d" % number))

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(note, range(4)))
        assert [each.noted_at for each in store.fetch_records()] == [0, 1, 2, 3]

    def test_the_generation_of_a_removed_key_may_be_used_again(self, store: Store) -> None:
        store.add_signing_key(removed := key(1))
        store.remove_signing_key(removed.kid, lambda _keys: None)
        store.add_signing_key(added := key(1, kid="again"))
        assert store.signing_keys() == (added,)


def key(generation: int, algorithm: SigningAlgorithm = ES256, *, kid: str | None = None) -> SigningKey:
    name = kid or f"{algorithm.value}-{generation}"
    return SigningKey(name, algorithm, generation, Secret(f"PEM\n\u00fc {name}"), 1_800_000_000, 1_800_003_600)
