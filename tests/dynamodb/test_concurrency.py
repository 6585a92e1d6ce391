"""Many callers, many replicas, one table: one user has one identity with any concurrency."""

import itertools
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace

import pytest
from tests.contracts.store_contract import NO_DEADLINE, POOL, identity, login
from tests.dynamodb.conftest import Opened
from tests.fakes.cognito_script import Answer, Exchange, Success
from tests.fakes.dynamodb_upstream import DynamoDbUpstream
from tests.support.local_engine import DEVELOPER

from tokend_server.aws_json.wire import AwsResponse
from tokend_server.clock import Deadline, SystemClock
from tokend_server.config import KeyTimes
from tokend_server.engines.local.engine import LocalEngine
from tokend_server.engines.local.keys.jws import TokenType
from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.keys.signer import TokenSigner
from tokend_server.engines.local.keys.stored_keys import StoredKeys
from tokend_server.engines.local.pool import LocalPool
from tokend_server.engines.local.store import Change, Store
from tokend_server.model import Secret, TokenRequest

REPLICAS, CALLS = 4, 40


def replica(store: Store) -> LocalEngine:
    clock = SystemClock()
    signer = TokenSigner(store, StoredKeys(), clock, KeyTimes())
    signer.ensure_keys(frozenset({SigningAlgorithm.ES256}))
    pool = LocalPool(
        identity_pool_id=POOL,
        developer_provider_name=DEVELOPER,
        login_providers={},
        signing_algorithm=SigningAlgorithm.ES256,
        token_type=TokenType.JWS,
        account_id="123456789012",
        identity_pool_arn_claim=False,
        issuer="https://tokens.example.test",
    )
    return LocalEngine(pool, store, signer, clock, lambda: str(uuid.uuid4()), nullcontext)


def identity_of(engine: LocalEngine) -> str:
    request = TokenRequest(POOL, {DEVELOPER: Secret("alice")})
    return engine.get_open_id_token_for_developer_identity(request, Deadline(SystemClock())).identity_id


def test_first_calls_for_one_user_through_replicas_make_one_identity(either: DynamoDbUpstream, opened: Opened) -> None:
    stores = [opened(either) for _ in range(REPLICAS)]
    engines = [replica(store) for store in stores]
    begin = threading.Barrier(8)

    def call(number: int) -> Sequence[str]:
        begin.wait()
        return [identity_of(engines[(number + each) % REPLICAS]) for each in range(CALLS // 8)]

    with ThreadPoolExecutor(8) as threads:
        ids = set(itertools.chain.from_iterable(threads.map(call, range(8))))
    assert len(ids) == 1
    listed = stores[0].identities(POOL, max_results=60, after=None, hide_disabled=False)
    assert {each.identity_id for each in listed} == ids


@dataclass(frozen=True)
class Meanwhile(Answer):
    """Runs another action while a request is in flight."""

    do: Callable[[], object]

    def response(self, exchange: Exchange) -> AwsResponse:
        self.do()
        return exchange.answer(None)


A, B = identity("a", "x"), identity("b", "y")


@pytest.fixture
def reader(upstream: DynamoDbUpstream, opened: Opened) -> Store:
    store = opened(upstream)
    store.commit(Change(None, A), Change(None, B), deadline=NO_DEADLINE)
    return store


@pytest.fixture
def writer(reader: Store, upstream: DynamoDbUpstream, opened: Opened) -> Iterator[Store]:
    """The same table, without the script of the reader's upstream."""
    assert reader
    with DynamoDbUpstream(upstream.endpoint_url) as beside:
        yield opened(beside)


def test_a_read_during_which_a_login_moves_returns_the_state_after_the_move(
    reader: Store, writer: Store, upstream: DynamoDbUpstream
) -> None:
    def move() -> None:
        writer.commit(
            Change(A, replace(A, logins=frozenset(), disabled=True)),
            Change(B, replace(B, logins=A.logins | B.logins)),
            deadline=NO_DEADLINE,
        )

    upstream.script([Success(), Meanwhile(move)])
    reading = reader.read(POOL, [login("x")], A.identity_id)
    assert reading.named == replace(A, logins=frozenset(), disabled=True, revision=1)
    assert reading.owners == {login("x"): replace(B, logins=A.logins | B.logins, revision=1)}


def test_a_read_during_which_a_login_is_linked_returns_its_new_owner(
    reader: Store, writer: Store, upstream: DynamoDbUpstream
) -> None:
    def link() -> None:
        writer.commit(Change(B, replace(B, logins=B.logins | {login("new")})), deadline=NO_DEADLINE)

    upstream.script([Success(), Meanwhile(link)])
    reading = reader.read(POOL, [login("new")], A.identity_id)
    assert reading.named == A
    assert reading.owners == {login("new"): replace(B, logins=B.logins | {login("new")}, revision=1)}


def test_reads_during_concurrent_moves_are_consistent(either: DynamoDbUpstream, opened: Opened) -> None:
    reader, writer = opened(either), opened(either)
    a, b = identity("a", "x"), identity("b", "y")
    writer.commit(Change(None, a), Change(None, b), deadline=NO_DEADLINE)
    moved = threading.Event()

    def move() -> None:
        one, other = a, b
        for _ in range(15):
            there = replace(other, logins=other.logins | {login("x")})
            writer.commit(
                Change(one, replace(one, logins=one.logins - {login("x")})), Change(other, there), deadline=NO_DEADLINE
            )
            one, other = (
                replace(there, revision=other.revision + 1),
                replace(one, logins=one.logins - {login("x")}, revision=one.revision + 1),
            )
        moved.set()

    thread = threading.Thread(target=move)
    thread.start()
    while not moved.is_set():
        reading = reader.read(POOL, [login("x"), login("y")], "eu-west-1:a")
        assert reading.named is not None
        assert (login("x") in reading.named.logins) == (reading.owners[login("x")].identity_id == "eu-west-1:a")
        assert reading.owners.keys() == {login("x"), login("y")}
    thread.join()
