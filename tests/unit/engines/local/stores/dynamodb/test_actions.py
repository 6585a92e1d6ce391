"""The actions of commits, in addition to the contract of stores."""

from dataclasses import replace

import pytest
from tests.contracts.store_contract import POOL, identity, login

from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.engines.local.store import Change
from tokend_server.engines.local.stores.dynamodb import actions, items

X, Y = identity("x", "x"), identity("y", "y")


def kinds(*changes: Change) -> list[str]:
    return sorted(kind for kind, _members in actions.for_changes(changes))


def test_a_login_that_moves_is_one_action() -> None:
    moved = Change(X, replace(X, logins=frozenset(), disabled=True)), Change(Y, replace(Y, logins=X.logins | Y.logins))
    assert kinds(*moved) == ["Update"] * 3
    assert kinds(*reversed(moved)) == ["Update"] * 3


def test_an_identity_with_unchanged_logins_is_one_action() -> None:
    assert kinds(Change(X, replace(X, disabled=True))) == ["Update"]


def test_every_action_on_a_login_or_an_identity_has_a_condition() -> None:
    changed = Change(X, replace(X, logins=frozenset({login("new")}))), Change(None, Y)
    conditions = [members.get("ConditionExpression") for _kind, members in actions.for_changes(changed)]
    assert conditions.count(None) == 1  # the entry in the index, which only its identity creates
    assert actions.put(items.key_of_index_entry(POOL, Y.identity_id)) in actions.for_changes(changed)


@pytest.mark.parametrize(
    "changes",
    [
        (Change(X, X), Change(X, X)),
        (Change(None, X), Change(None, replace(Y, logins=X.logins))),
        (Change(X, replace(X, logins=X.logins | Y.logins)), Change(None, Y)),
    ],
    ids=["one identity twice", "one login in two creations", "one login linked twice"],
)
def test_changes_that_contradict_each_other_are_refused(changes: tuple[Change, ...]) -> None:
    with pytest.raises(StaleReading):
        actions.for_changes(changes)


def test_an_update_does_not_change_unknown_attributes() -> None:
    ((kind, members),) = actions.for_changes([Change(X, replace(X, disabled=True))])
    assert kind == "Update"
    assert members["UpdateExpression"].startswith("SET ")
    assert "creation_date" not in members["UpdateExpression"]


def test_keys_sort_by_their_generation() -> None:
    keys = [items.sort_key(items.key_of_signing_key(SigningAlgorithm.ES256, number)) for number in (1, 2, 10, 100)]
    assert keys == sorted(keys)


def test_a_pool_is_spread_over_its_shards() -> None:
    partitions = {
        items.text(items.key_of_index_entry(POOL, f"eu-west-1:{number}"), items.PARTITION_KEY) for number in range(500)
    }
    assert partitions == {items.index_partition(POOL, shard) for shard in range(items.SHARDS)}
