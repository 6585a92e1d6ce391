import os
import uuid

from tokend_server.access.ids import UniqueIds


def test_ids_are_uuids_that_sort_by_time() -> None:
    ids = UniqueIds(lambda count: b"\xff" * count)
    made = [uuid.UUID(ids()) for _ in range(300)]
    assert made == sorted(set(made))
    assert {(each.version, each.variant) for each in made} == {(8, uuid.RFC_4122)}


def test_ids_of_two_processes_differ() -> None:
    assert UniqueIds(os.urandom)()[:23] != UniqueIds(os.urandom)()[:23]
