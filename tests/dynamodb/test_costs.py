"""The costs of each operation in server/dynamodb.md: requests, and units by DynamoDB's rules and by dynoxide."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contracts.key_store_contract import key
from tests.contracts.store_contract import NO_DEADLINE, POOL, identity, login
from tests.dynamodb.conftest import Opened
from tests.fakes.dynamodb_upstream import DynamoDbUpstream

from tokend_server.engines.local.keys.store import FetchRecord
from tokend_server.engines.local.store import Change, Store
from tokend_server.engines.local.stores.dynamodb.items import SHARDS
from tokend_server.model import Secret

PAGE = (Path(__file__).parents[2] / "server" / "dynamodb.md").read_text(encoding="utf-8")

X = identity("x", "x")
Y = identity("y", "y")
MANY = identity("many", *(f"{number:02}" for number in range(20)))
READ_OPERATIONS = {"GetItem", "Query", "BatchGetItem", "TransactGetItems"}


def commit(*changes: Change) -> Callable[[Store], object]:
    return lambda store: store.commit(*changes, deadline=NO_DEADLINE)


def merge(store: Store) -> None:
    store.commit(
        Change(X, replace(X, logins=frozenset(), disabled=True)),
        Change(Y, replace(Y, logins=X.logins | Y.logins)),
        deadline=NO_DEADLINE,
    )


#: The operations, by the words of the page.
DOCUMENTED_OPERATIONS: Mapping[str, Callable[[Store], object]] = {
    "a known user with one login is found": lambda store: store.owners(POOL, [login("x")]),
    "a known user with two logins is found": lambda store: store.owners(POOL, [login("x"), login("unknown")]),
    "an identity is read by its id": lambda store: store.read(POOL, (), X.identity_id),
    "an identity is read by its user": lambda store: store.read(POOL, [login("x")]),
    "an identity with one login is created": commit(Change(None, identity("new", "new"))),
    "a login is linked": commit(Change(X, replace(X, logins=X.logins | {login("new")}))),
    "a login is unlinked": commit(Change(X, replace(X, logins=frozenset(), disabled=True))),
    "two identities with one login each are merged": merge,
    "the store is checked": lambda store: store.check(),
    "the keys are read": lambda store: store.signing_keys(),
    "a key is added": lambda store: store.add_signing_key(key(2)),
    "a key is rewrapped": lambda store: store.replace_material(key(1), Secret("material")),
    "a key begins before its time": lambda store: store.replace_signs_from(key(1), 7),
    "who has fetched keys is noted": lambda store: store.keep_fetch_record(FetchRecord("a", 1, b"")),
    "the notes of all servers are read": lambda store: store.fetch_records(),
    "a page of identities is listed": lambda store: store.identities(
        POOL, max_results=60, after=None, hide_disabled=False
    ),
}


def documented_costs() -> dict[str, tuple[str, str, str]]:
    """Returns the requests, read units and write units of each row of the page."""
    rows = re.findall(r"^\| (.+?) \| (\d+) \| (\d+(?:\.5)?) \| (\d+) \|$", PAGE, re.MULTILINE)
    return {words: (requests, read, write) for words, requests, read, write in rows}


def test_the_page_has_a_cost_for_each_tested_operation() -> None:
    assert documented_costs().keys() == DOCUMENTED_OPERATIONS.keys()


@pytest.fixture
def store(either: DynamoDbUpstream, opened: Opened) -> Store:
    made = opened(either)
    made.add_signing_key(key(1))
    for each in (X, Y):
        made.commit(Change(None, each), deadline=NO_DEADLINE)
    return made


@pytest.mark.parametrize("words", DOCUMENTED_OPERATIONS)
def test_the_page_states_the_cost_of_each_operation(store: Store, either: DynamoDbUpstream, words: str) -> None:
    before, sent = dict(either.units), len(either.requests)
    DOCUMENTED_OPERATIONS[words](store)
    units = {operation: count - before.get(operation, 0) for operation, count in either.units.items()}
    read = sum(count for operation, count in units.items() if operation in READ_OPERATIONS)
    write = sum(units.values()) - read
    assert documented_costs()[words] == (str(len(either.requests) - sent), f"{read:g}", f"{write:g}")


def test_a_known_user_is_one_request(upstream: DynamoDbUpstream, opened: Opened) -> None:
    store = opened(upstream)
    store.commit(Change(None, X), deadline=NO_DEADLINE)
    before = len(upstream.requests)
    store.owners(POOL, [login("x")])
    (request,) = upstream.requests[before:]
    assert (request.operation, request.body["ConsistentRead"]) == ("GetItem", True)


def test_every_reading_is_consistent(upstream: DynamoDbUpstream, opened: Opened) -> None:
    store = opened(upstream)
    store.add_signing_key(key(1))
    store.commit(Change(None, X), deadline=NO_DEADLINE)
    for words, (_requests, _read, write) in documented_costs().items():
        if write == "0":
            DOCUMENTED_OPERATIONS[words](store)
    reads = [each for each in upstream.requests if each.operation in READ_OPERATIONS - {"TransactGetItems"}]
    assert {each.operation for each in reads} == {"GetItem", "Query", "BatchGetItem"}
    for each in reads:
        tables = each.body["RequestItems"].values() if each.operation == "BatchGetItem" else [each.body]
        assert all(table["ConsistentRead"] is True for table in tables)


def test_a_merge_of_full_identities_fits_into_a_transaction(upstream: DynamoDbUpstream, opened: Opened) -> None:
    store = opened(upstream)
    for each in (MANY, X):
        store.commit(Change(None, each), deadline=NO_DEADLINE)
    store.commit(
        Change(MANY, replace(MANY, logins=frozenset(), disabled=True)),
        Change(X, replace(X, logins=X.logins | MANY.logins)),
        deadline=NO_DEADLINE,
    )
    sizes = [len(each.body["TransactItems"]) for each in upstream.requests if each.operation == "TransactWriteItems"]
    assert sizes[1:] == [22, 3, 22]
    assert set(store.owners(POOL, sorted(MANY.logins, key=str))) == {X.identity_id}


def test_a_listing_goes_through_all_shards_in_order(upstream: DynamoDbUpstream, opened: Opened) -> None:
    store = opened(upstream)
    names = [f"{number * 7919 % 101:03}" for number in range(40)]
    for name in names:
        store.commit(Change(None, identity(name)), deadline=NO_DEADLINE)
    found: list[str] = []
    while page := store.identities(POOL, max_results=7, after=found[-1] if found else None, hide_disabled=False):
        found += [each.identity_id for each in page]
    assert found == [f"eu-west-1:{name}" for name in sorted(names)]
    partitions = {
        each.body["ExpressionAttributeValues"][":partition"]["S"]
        for each in upstream.requests
        if each.operation == "Query"
    }
    assert len(partitions) == SHARDS
