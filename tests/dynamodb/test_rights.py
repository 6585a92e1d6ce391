"""The policy in server/dynamodb.md allows exactly the actions of the store."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from tests.contracts.key_store_contract import key
from tests.contracts.store_contract import NO_DEADLINE, POOL, identity
from tests.dynamodb.conftest import Opened
from tests.fakes.dynamodb_upstream import DynamoDbUpstream
from tests.fakes.scripted_upstream import Arrived

from tokend_server.engines.local.keys.store import FetchRecord
from tokend_server.engines.local.store import Change
from tokend_server.model import Secret

PAGE = (Path(__file__).parents[2] / "server" / "dynamodb.md").read_text(encoding="utf-8")


def allowed() -> set[str]:
    (policy,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    (statement,) = json.loads(policy)["Statement"]
    return {action.removeprefix("dynamodb:") for action in statement["Action"]}


def needed(request: Arrived) -> Iterator[str]:
    """Returns the permissions of a request; a transaction requires those of its actions."""
    if request.operation not in {"TransactGetItems", "TransactWriteItems"}:
        yield request.operation
        return
    for action in request.body["TransactItems"]:
        (kind,) = action
        yield f"{kind}Item"


def test_the_documented_policy_allows_exactly_the_actions_of_serving(
    upstream: DynamoDbUpstream, opened: Opened
) -> None:
    opened(upstream)
    made = len(upstream.requests)
    store = opened(upstream)
    a, b = identity("a", "x"), identity("b", "y", "z")
    store.commit(Change(None, a), Change(None, b), deadline=NO_DEADLINE)
    store.read(POOL, a.logins | b.logins)
    store.identities(POOL, max_results=1, after=None, hide_disabled=False)
    store.delete(b.identity_id)
    for number in (1, 2):
        store.add_signing_key(key(number))
    store.replace_material(key(2), Secret("material"))
    store.replace_signs_from(key(2), 7)
    store.keep_fetch_record(FetchRecord("a", 1, b""))
    store.forget_fetch_records(2)
    store.remove_signing_key(key(1).kid, lambda _keys: None)
    store.keep_developer_providers(lambda _kept: {POOL: "p"})
    store.check()
    assert {right for request in upstream.requests[made:] for right in needed(request)} == allowed()


def test_the_page_names_the_additional_permissions_to_create_the_table(
    upstream: DynamoDbUpstream, opened: Opened
) -> None:
    opened(upstream)
    besides = {right for request in upstream.requests for right in needed(request)} - allowed()
    assert besides == {"CreateTable", "DescribeTable", "UpdateContinuousBackups"}
    assert all(f"`dynamodb:{right}`" in PAGE for right in besides)
