"""The actions of a transaction: pure functions from changes to DynamoDB's actions.

Each action has a condition, and DynamoDB applies all actions of a transaction or none. An item may occur only once in a
transaction, so a login that moves from one identity to another is one update of its item.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.engines.local.store import Change, login_key
from tokend_server.engines.local.stores.dynamodb import items
from tokend_server.engines.local.stores.dynamodb.items import PARTITION_KEY, Item
from tokend_server.errors import LimitExceeded
from tokend_server.model import Identity

#: An action of TransactWriteItems without the name of the table: its kind, and its members.
Action: TypeAlias = tuple[str, Mapping[str, Any]]

#: The maximum number of actions in a transaction (service quotas of DynamoDB).
MAX_ACTIONS = 100

_ABSENT = {"ConditionExpression": "attribute_not_exists(#key)", "ExpressionAttributeNames": {"#key": PARTITION_KEY}}


def put(item: Item) -> Action:
    """Writes an item, whether or not it exists."""
    return "Put", {"Item": item}


def create(item: Item) -> Action:
    """Writes an item that must not exist."""
    return "Put", {"Item": item, **_ABSENT}


def update(key: Item, values: Item, where: Item | None = None) -> Action:
    """Sets attributes of an item whose attributes match `where`; None if it must not exist.

    Attributes that this release does not know are not changed.
    """
    names = {f"#{name}": name for name in values}
    members: dict[str, Any] = {
        "Key": key,
        "UpdateExpression": f"SET {', '.join(f'#{name} = :new_{name}' for name in values)}",
        "ExpressionAttributeValues": {f":new_{name}": value for name, value in values.items()},
    }
    if where is None:
        members["ConditionExpression"] = _ABSENT["ConditionExpression"]
        return "Update", {**members, "ExpressionAttributeNames": {**names, "#key": PARTITION_KEY}}
    members["ConditionExpression"], more_names, old = _condition(where)
    members["ExpressionAttributeValues"] |= old
    return "Update", {**members, "ExpressionAttributeNames": names | more_names}


def increment(key: Item) -> Action:
    """Increments `revision` of an item, which is created if it does not exist."""
    return "Update", {
        "Key": key,
        "UpdateExpression": "ADD #revision :one",
        "ExpressionAttributeNames": {"#revision": "revision"},
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }


def delete(key: Item, where: Item) -> Action:
    """Deletes an item whose attributes match `where`."""
    condition, names, values = _condition(where)
    return "Delete", {
        "Key": key,
        "ConditionExpression": condition,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }


def remove(key: Item) -> Action:
    """Deletes an item, whether or not it exists."""
    return "Delete", {"Key": key}


def check_size(item: Item, subject: str) -> None:
    """Checks the size of an item.

    Args:
        item: The whole item.
        subject: The id of the identity or pool in it.

    Raises:
        LimitExceeded: It exceeds the maximum size of an item.
    """
    size = items.size(item)
    if size > items.MAX_BYTES:
        raise LimitExceeded(
            f"{subject} would have {size} bytes, but an item in DynamoDB may have at most {items.MAX_BYTES}.",
            subject=subject,
        )


def for_changes(changes: Sequence[Change]) -> list[Action]:
    """Returns the actions of a commit.

    A creation needs two actions, any other change one; each login that is linked, unlinked or moved needs one more.
    With at most 20 logins in an identity, these are 22 for a creation, 21 for a link and 22 for a merge.

    Raises:
        StaleReading: The changes contradict each other.
        LimitExceeded: The changes exceed the maximum of a transaction, or an identity that of an item.
    """
    if len({change.after.identity_id for change in changes}) < len(changes):
        raise StaleReading
    actions = [*_for_identities(changes), *_for_logins(changes)]
    if len(actions) > MAX_ACTIONS:
        raise LimitExceeded(
            f"The change needs {len(actions)} items, but a transaction in DynamoDB may have at most {MAX_ACTIONS}.",
            subject=changes[0].after.identity_id,
        )
    for change in changes:
        check_size(items.new_identity(change.after), change.after.identity_id)
    return actions


def for_deletion(identity: Identity) -> list[Action]:
    """Returns the actions that delete an identity as it was read: two, and one for each login."""
    pool, identity_id = identity.identity_pool_id, identity.identity_id
    return [
        delete(items.key_of_identity(identity_id), {"revision": {"N": str(identity.revision)}}),
        remove(items.key_of_index_entry(pool, identity_id)),
        *(delete(items.key_of_login(pool, login), {"identity_id": {"S": identity_id}}) for login in identity.logins),
    ]


def _for_identities(changes: Iterable[Change]) -> Iterator[Action]:
    for change in changes:
        after = change.after
        if change.before is None:
            yield create(items.new_identity(after))
            yield put(items.key_of_index_entry(after.identity_pool_id, after.identity_id))
        else:
            read = change.before.revision
            yield update(
                items.key_of_identity(after.identity_id),
                items.identity_values(after, read + 1),
                {"revision": {"N": str(read)}},
            )


def _for_logins(changes: Iterable[Change]) -> Iterator[Action]:
    removed: dict[bytes, str] = {}
    new: dict[bytes, str] = {}
    for change in changes:
        before = change.before.logins if change.before else frozenset()
        owner, pool = change.after.identity_id, change.after.identity_pool_id
        removed |= {login_key(pool, login): owner for login in before - change.after.logins}
        linked = {login_key(pool, login): owner for login in change.after.logins - before}
        if not new.keys().isdisjoint(linked):
            raise StaleReading
        new |= linked
    for digest, owner in removed.items():
        key, expected = items.key_of_login_digest(digest), {"identity_id": {"S": owner}}
        yield update(key, {"identity_id": {"S": new[digest]}}, expected) if digest in new else delete(key, expected)
    for digest in new.keys() - removed.keys():
        yield create({**items.key_of_login_digest(digest), "identity_id": {"S": new[digest]}})


def _condition(where: Item) -> tuple[str, dict[str, str], dict[str, Any]]:
    text = " AND ".join(f"#{name} = :old_{name}" for name in where)
    return text, {f"#{name}": name for name in where}, {f":old_{name}": value for name, value in where.items()}
