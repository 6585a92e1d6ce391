"""Commits that are cancelled or throttled, or whose response is lost."""

from dataclasses import replace

import pytest
from tests.clients.toolchains import BUILD_TIMEOUT
from tests.contracts.key_store_contract import key
from tests.contracts.store_contract import NO_DEADLINE, POOL, SPENT, identity, login
from tests.dynamodb.conftest import Opened
from tests.fakes.cognito_script import Body, Close, Hang, Reset, Sent, Step
from tests.fakes.dynamodb_upstream import DynamoDbUpstream, cancelled, failure

from tokend_server.clock import Deadline, SystemClock
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.engines.local.store import Change, Store
from tokend_server.engines.local.stores.dynamodb import items
from tokend_server.engines.local.stores.dynamodb.fault_rows import CANCELLATIONS, Verdict
from tokend_server.engines.local.transfer import Import
from tokend_server.errors import DeadlineExceeded, EngineMisconfigured, EngineUnavailable, LimitExceeded

CONFLICT = cancelled("None", "TransactionConflict")

#: The request was executed, but its response did not arrive.
LOST: dict[str, Step] = {
    "closed before the answer": Close(),
    "closed in the headers": Close(Sent.HALF_OF_HEAD),
    "closed in the body": Close(Sent.HALF_OF_BODY),
    "reset before the answer": Reset(),
}

#: The request was not executed.
NOT_DONE: dict[str, Step] = {
    "closed": Close(answer=Body()),
    "reset": Reset(answer=Body()),
    "failed": failure("InternalServerError", 500),
    "unavailable": Body(b"", 503),
    "in progress": failure("TransactionInProgressException"),
    "throttled": failure("ThrottlingException"),
}


@pytest.fixture
def store(upstream: DynamoDbUpstream, opened: Opened) -> Store:
    made = opened(upstream)
    made.commit(Change(None, identity("first", "first")), deadline=NO_DEADLINE)
    return made


def add(store: Store, deadline: Deadline = NO_DEADLINE) -> None:
    store.commit(Change(None, identity("a", "x")), deadline=deadline)


def tokens(upstream: DynamoDbUpstream) -> list[str]:
    return [each.body["ClientRequestToken"] for each in upstream.requests if each.operation == "TransactWriteItems"]


@pytest.mark.parametrize("loss", LOST.values(), ids=LOST)
def test_a_commit_whose_answer_is_lost_counts_once(either: DynamoDbUpstream, opened: Opened, loss: Step) -> None:
    store = opened(either)
    store.commit(Change(None, read := identity("a", "x", "y")), deadline=NO_DEADLINE)
    either.script([loss])
    store.commit(Change(read, after := replace(read, logins=frozenset({login("y")}))), deadline=NO_DEADLINE)
    assert store.read(POOL, (), read.identity_id).named == replace(after, revision=1)
    assert len(tokens(either)[-2:]) == 2
    assert len(set(tokens(either)[-2:])) == 1


def test_a_key_whose_answer_is_lost_is_kept_once(either: DynamoDbUpstream, opened: Opened) -> None:
    store = opened(either)
    either.script([Close()])
    store.add_signing_key(key(1))
    assert store.signing_keys() == (key(1),)


@pytest.mark.parametrize("fault", NOT_DONE.values(), ids=NOT_DONE)
def test_a_commit_is_sent_again_with_its_token(store: Store, upstream: DynamoDbUpstream, fault: Step) -> None:
    before = tokens(upstream)
    upstream.script([fault])
    add(store)
    sent = tokens(upstream)[len(before) :]
    assert len(sent) == 2
    assert len(set(sent)) == 1
    assert sent[0] not in before
    assert store.owners(POOL, [login("x")]) == ["eu-west-1:a"]


def test_a_commit_that_was_never_acknowledged_may_have_happened(opened: Opened, upstream: DynamoDbUpstream) -> None:
    store = opened(upstream, max_attempts=1)
    store.commit(Change(None, identity("first", "first")), deadline=NO_DEADLINE)
    upstream.script([Close()])
    with pytest.raises(EngineUnavailable):
        add(store)
    assert store.owners(POOL, [login("x")]) == ["eu-west-1:a"]


def test_a_transaction_that_meets_another_is_tried_again(store: Store, upstream: DynamoDbUpstream) -> None:
    upstream.script([CONFLICT, CONFLICT])
    add(store)
    assert store.owners(POOL, [login("x")]) == ["eu-west-1:a"]


def test_a_transaction_with_repeated_conflicts_raises_stale_reading(store: Store, upstream: DynamoDbUpstream) -> None:
    upstream.always(CONFLICT)
    with pytest.raises(StaleReading):
        add(store)


def test_a_reading_that_meets_a_transaction_is_tried_again(store: Store, upstream: DynamoDbUpstream) -> None:
    upstream.script([CONFLICT])
    assert store.owners(POOL, [login("first"), login("x")]) == ["eu-west-1:first", None]
    upstream.always(CONFLICT)
    with pytest.raises(EngineUnavailable, match="too many calls"):
        store.owners(POOL, [login("first"), login("x")])


def test_a_condition_that_does_not_hold_is_not_tried_again(store: Store, upstream: DynamoDbUpstream) -> None:
    before = len(upstream.requests)
    upstream.always(cancelled("TransactionConflict", "ConditionalCheckFailed", "ThrottlingError"))
    with pytest.raises(StaleReading):
        add(store)
    assert len(upstream.requests) == before + 1


@pytest.mark.parametrize("reason", [code for code, each in CANCELLATIONS.items() if each is Verdict.THROTTLED])
def test_a_transaction_without_capacity_is_tried_again(store: Store, upstream: DynamoDbUpstream, reason: str) -> None:
    upstream.script([cancelled(reason, "None")])
    add(store)
    upstream.always(cancelled(reason, "None"))
    with pytest.raises(EngineUnavailable, match="throttled") as raised:
        store.commit(Change(None, identity("b", "y")), deadline=NO_DEADLINE)
    assert "ThrottledRequests" in raised.value.advice


@pytest.mark.parametrize("reason", [code for code, each in CANCELLATIONS.items() if each is Verdict.REFUSED])
def test_a_transaction_that_dynamodb_refuses_is_not_tried_again(
    store: Store, upstream: DynamoDbUpstream, reason: str
) -> None:
    before = len(upstream.requests)
    upstream.always(cancelled("None", reason))
    with pytest.raises(EngineMisconfigured):
        add(store)
    assert len(upstream.requests) == before + 1


def test_an_unknown_cancellation_reason_is_reported_as_unavailable(store: Store, upstream: DynamoDbUpstream) -> None:
    upstream.always(cancelled("None", "SomethingNew"))
    with pytest.raises(EngineUnavailable):
        add(store)


def test_a_commit_ends_at_its_deadline(store: Store, upstream: DynamoDbUpstream) -> None:
    upstream.always(Hang())
    clock = SystemClock()
    with pytest.raises(EngineUnavailable, match="in time"):
        add(store, Deadline(clock, clock.monotonic() + 0.2))


def test_nothing_is_sent_when_the_deadline_is_spent(store: Store, upstream: DynamoDbUpstream) -> None:
    before = len(upstream.requests)
    with pytest.raises(DeadlineExceeded):
        add(store, SPENT)
    assert len(upstream.requests) == before


def test_a_commit_above_the_transaction_limit_is_rejected_before_sending(
    store: Store, upstream: DynamoDbUpstream
) -> None:
    before = len(upstream.requests)
    changes = [Change(None, identity(f"{number}", f"{number}")) for number in range(34)]
    with pytest.raises(LimitExceeded, match="needs 102 items, but a transaction in DynamoDB may have at most 100"):
        store.commit(*changes, deadline=NO_DEADLINE)
    assert len(upstream.requests) == before
    store.commit(*changes[:33], deadline=NO_DEADLINE)
    assert store.owners(POOL, [login("32")]) == ["eu-west-1:32"]


def test_an_import_leaves_out_what_no_item_holds(upstream: DynamoDbUpstream, opened: Opened) -> None:
    store, users = opened(upstream), [f"{number}".ljust(50_000, "\U0001f600") for number in range(3)]
    lines = [("line 1", identity("a", *users)), ("line 2", identity("b", "y"))]
    done = Import(store, SystemClock()).run(lines, lambda _count: None)
    assert done.created == 1
    assert [problem.partition(" would have ")[0] for problem in done.problems] == ["line 1: eu-west-1:a"]
    assert store.owners(POOL, [login("y")]) == ["eu-west-1:b"]


@pytest.mark.timeout(BUILD_TIMEOUT)
def test_an_item_above_the_size_limit_is_rejected_before_sending(faithful: DynamoDbUpstream, opened: Opened) -> None:
    store, users = opened(faithful), [f"{number}".ljust(50_000, "\U0001f600") for number in range(3)]
    existing = identity("a", users[0])
    store.commit(Change(None, existing), deadline=NO_DEADLINE)
    before = len(faithful.requests)
    for change in (
        Change(existing, replace(existing, logins=frozenset(map(login, users)))),
        Change(None, identity("b", *users[1:], "u" * 10_000)),
    ):
        with pytest.raises(LimitExceeded, match="bytes, but an item in DynamoDB may have at most 409600"):
            store.commit(change, deadline=NO_DEADLINE)
    assert len(faithful.requests) == before
    kept = "eu-west-1:0a"
    with pytest.raises(
        LimitExceeded, match=f"{kept} would have .* bytes, but an item in DynamoDB may have at most 409600"
    ):
        store.keep_pool(None, kept, b"d" * items.MAX_BYTES)
    assert len(faithful.requests) == before
    rest = items.MAX_BYTES - items.size(items.new_identity(identity("c", *users[1:], "")))
    store.commit(Change(None, largest := identity("c", *users[1:], "u" * rest)), deadline=NO_DEADLINE)
    assert store.read(POOL, (), largest.identity_id).named == largest
