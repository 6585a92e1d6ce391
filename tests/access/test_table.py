"""Authorization: every method for every kind of caller and every outcome, by a real call over TLS."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import grpc
import jwt
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ResourceInfo
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from tests.access.guarded_service import (
    KEEPING_POOL,
    LONGEST,
    MINTING_POOL,
    POOL_A,
    POOL_B,
    PROVIDER,
    UNKNOWN_POOL,
    Credentials,
    GuardedService,
    Metadata,
    serve_guarded,
)
from tests.access.identities import IDENTITIES, Identity, Standing
from tests.access.methods import CHECK, GET, LIST, LOOKUP, MERGE, METHODS, REFLECTION, UNLINK, WATCH, call
from tests.fakes.oidc_provider import OidcProvider
from tests.support.grpc_service import failure

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server.config import Grpc
from tokend_server.model import LookupRequest, MergeRequest, TokenRequest, UnlinkRequest
from tokend_server.rpc import server as rpc_server
from tokend_server.rpc.policy import Rule, rules


class Answer(NamedTuple):
    """How a call ends: the status code, and the reason in its ErrorInfo."""

    code: grpc.StatusCode
    reason: str | None = None


OK = Answer(grpc.StatusCode.OK)
DENIED = Answer(grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_ALLOWED")
UNKNOWN = Answer(grpc.StatusCode.UNAUTHENTICATED, "CALLER_UNAUTHENTICATED")
INVALID = Answer(grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
UNREACHABLE = Answer(grpc.StatusCode.UNAVAILABLE)

_NUMBERS = itertools.count()

MakeRequest = Callable[[GuardedService], Message]


def get(pool: str, **members: Any) -> MakeRequest:  # noqa: ANN401 - whatever the message takes
    return lambda _house: pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=pool, **{"logins": {PROVIDER: f"user {next(_NUMBERS)}"}, **members}
    )


def lookup(pool: str) -> MakeRequest:
    def make(guarded: GuardedService) -> Message:
        user, _ = _new_user(guarded, pool)
        return pb.LookupDeveloperIdentityRequest(identity_pool_id=pool, developer_user_identifier=user)

    return make


def merge(pool: str) -> MakeRequest:
    def make(guarded: GuardedService) -> Message:
        (source, _), (destination, _) = _new_user(guarded, pool), _new_user(guarded, pool)
        return pb.MergeDeveloperIdentitiesRequest(
            identity_pool_id=pool,
            developer_provider_name=PROVIDER,
            source_user_identifier=source,
            destination_user_identifier=destination,
        )

    return make


def unlink(pool: str) -> MakeRequest:
    def make(guarded: GuardedService) -> Message:
        user, identity_id = _new_user(guarded, pool)
        return pb.UnlinkDeveloperIdentityRequest(
            identity_pool_id=pool,
            identity_id=identity_id,
            developer_provider_name=PROVIDER,
            developer_user_identifier=user,
        )

    return make


def the(request: Message) -> MakeRequest:
    return lambda _house: request


def _new_user(guarded: GuardedService, pool: str) -> tuple[str, str]:
    """An existing user, and its identity id; neither exists in a missing pool."""
    user = f"user {next(_NUMBERS)}"
    return user, guarded.add_user(user, pool) if pool in guarded.engines else POOL_A


class Row(NamedTuple):
    """One outcome of one method.

    Attributes:
        path: The method.
        outcome: The special condition of the call.
        request: Creates its request.
        granted: Its result for a caller with rows in the policy.
        stranger: Its result for a caller without rows.
        unknown: Its result for a caller who is not identified.
        reticent: Whether the service reports its health only to identified callers.
    """

    path: str
    outcome: str
    request: MakeRequest
    granted: Answer
    stranger: Answer = DENIED
    unknown: Answer = UNKNOWN
    reticent: bool = False

    def answer(self, standing: Standing) -> Answer:
        return {
            Standing.GRANTED: self.granted,
            Standing.STRANGER: self.stranger,
            Standing.UNKNOWN: self.unknown,
            Standing.OUTSIDE: UNREACHABLE,
        }[standing]


ALLOWED, OTHER_POOL, UNKNOWN_POOL_ASKED, NOT_GRANTED = "allowed", "other pool", "unknown pool", "operation not granted"
DURATION_ABOVE, TAG_NOT_GRANTED = "duration above", "tag not granted"

HEALTH = the(HealthCheckRequest())
ALL_HEALTH = the(health_pb2.HealthListRequest())  # type: ignore[attr-defined] # missing in the stubs
SERVICES = the(ServerReflectionRequest(list_services=""))

TABLE: Sequence[Row] = [
    Row(GET, ALLOWED, get(POOL_A), OK),
    Row(GET, "allowed by another row", get(MINTING_POOL), OK),
    Row(GET, "longest duration", get(POOL_A, token_duration=Duration(seconds=LONGEST)), OK),
    Row(GET, "granted tag", get(POOL_A, principal_tags={"department": "shoes"}), OK),
    Row(GET, OTHER_POOL, get(POOL_B), DENIED),
    Row(GET, UNKNOWN_POOL_ASKED, get(UNKNOWN_POOL), DENIED),
    Row(GET, "no pool", get(""), DENIED),
    Row(GET, NOT_GRANTED, get(KEEPING_POOL), DENIED),
    Row(GET, DURATION_ABOVE, get(POOL_A, token_duration=Duration(seconds=LONGEST + 1)), DENIED),
    Row(GET, TAG_NOT_GRANTED, get(POOL_A, principal_tags={"department": "shoes", "role": "admin"}), DENIED),
    Row(GET, "malformed", get(POOL_A, logins={}), INVALID),
    Row(LOOKUP, ALLOWED, lookup(POOL_A), OK),
    Row(LOOKUP, "allowed by another row", lookup(KEEPING_POOL), OK),
    Row(LOOKUP, OTHER_POOL, lookup(POOL_B), DENIED),
    Row(LOOKUP, UNKNOWN_POOL_ASKED, lookup(UNKNOWN_POOL), DENIED),
    Row(LOOKUP, NOT_GRANTED, lookup(MINTING_POOL), DENIED),
    Row(MERGE, ALLOWED, merge(POOL_A), OK),
    Row(MERGE, "allowed by another row", merge(KEEPING_POOL), OK),
    Row(MERGE, OTHER_POOL, merge(POOL_B), DENIED),
    Row(MERGE, UNKNOWN_POOL_ASKED, merge(UNKNOWN_POOL), DENIED),
    Row(MERGE, NOT_GRANTED, merge(MINTING_POOL), DENIED),
    Row(UNLINK, ALLOWED, unlink(POOL_A), OK),
    Row(UNLINK, "allowed by another row", unlink(KEEPING_POOL), OK),
    Row(UNLINK, OTHER_POOL, unlink(POOL_B), DENIED),
    Row(UNLINK, UNKNOWN_POOL_ASKED, unlink(UNKNOWN_POOL), DENIED),
    Row(UNLINK, NOT_GRANTED, unlink(MINTING_POOL), DENIED),
    Row(CHECK, ALLOWED, HEALTH, OK, stranger=OK, unknown=OK),
    Row(LIST, ALLOWED, ALL_HEALTH, OK, stranger=OK, unknown=OK),
    Row(WATCH, ALLOWED, HEALTH, OK, stranger=OK, unknown=OK),
    Row(CHECK, "for the identified", HEALTH, OK, stranger=OK, reticent=True),
    Row(LIST, "for the identified", ALL_HEALTH, OK, stranger=OK, reticent=True),
    Row(WATCH, "for the identified", HEALTH, OK, stranger=OK, reticent=True),
    Row(REFLECTION, ALLOWED, SERVICES, OK, stranger=OK),
]

#: The possible decisions of the policy for each operation.
OUTCOMES = {ALLOWED, OTHER_POOL, UNKNOWN_POOL_ASKED, NOT_GRANTED}
OPERATIONS = (GET, LOOKUP, MERGE, UNLINK)
REQUEST_TYPES = {GET: TokenRequest, LOOKUP: LookupRequest, MERGE: MergeRequest, UNLINK: UnlinkRequest}


class Client(NamedTuple):
    """One caller's channels, and the metadata of each call."""

    channel: grpc.Channel
    reticent_channel: grpc.Channel
    metadata: Metadata


@pytest.fixture(scope="module")
def clients(guarded: GuardedService, reticent: GuardedService, credentials: Credentials) -> Iterator[dict[str, Client]]:
    made = {}
    for name, identity in IDENTITIES.items():
        certificate = identity.certificate(credentials) if identity.certificate else None
        made[name] = Client(
            guarded.channel(identity.listener, certificate),
            reticent.channel(identity.listener, certificate),
            identity.metadata(credentials),
        )
    yield made
    for client in made.values():
        client.channel.close()
        client.reticent_channel.close()


@pytest.mark.parametrize("kind", IDENTITIES)
@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.path.rpartition('/')[2]}: {row.outcome}")
def test_each_kind_of_caller_gets_the_expected_status_from_each_method(
    guarded: GuardedService, reticent: GuardedService, clients: dict[str, Client], kind: str, row: Row
) -> None:
    at, client, identity = reticent if row.reticent else guarded, clients[kind], IDENTITIES[kind]
    request = row.request(at)
    at.reached.clear()
    expected = row.answer(identity.standing)
    channel = client.reticent_channel if row.reticent else client.channel

    if expected is OK:
        response = call(row.path, channel, request, client.metadata)
        assert at.reached == [] if row.path not in OPERATIONS else _only_one(at, identity, row, request)
        if row.path == GET:
            claims = jwt.decode(response.token, options={"verify_signature": False})
            assert claims["aud"] == request.identity_pool_id  # type: ignore[attr-defined] # GET's request
            assert claims["exp"] - claims["iat"] == response.expire_time.seconds - claims["iat"] == LONGEST
        return

    failed = failure(lambda: call(row.path, channel, request, client.metadata), ResourceInfo)
    assert (failed.code, failed.reason) == expected
    assert at.reached == []
    shown = [failed.text, *map(str, failed.details), *map(str, failed.trailers.values())]
    assert not any(secret in text for secret in at.credentials.secrets for text in shown)


def _only_one(guarded: GuardedService, identity: Identity, row: Row, request: Message) -> bool:
    """Returns whether only this request reached an engine, with the caller's name if engines receive it."""
    (reached,) = guarded.reached
    assert type(reached) is REQUEST_TYPES[row.path]
    assert getattr(reached, "caller", identity.name) == identity.name
    return bool(reached.identity_pool_id == request.identity_pool_id)  # type: ignore[attr-defined] # as all of them


class _Registering:
    """A gRPC server that records its registered methods."""

    def __init__(self, server: grpc.Server, services: list[str], methods: list[str]) -> None:
        self._server, self._services, self._methods = server, services, methods

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        self._services += [handler.service_name() for handler in handlers]
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        self._methods += [f"/{service}/{name}" for name in handlers]
        self._server.add_registered_method_handlers(service, handlers)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a server has
        return getattr(self._server, name)


def test_every_registered_method_has_a_rule_and_rows(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    credentials: Credentials,
    oidc_provider: OidcProvider,
) -> None:
    services: list[str] = []
    methods: list[str] = []
    make = grpc.server
    monkeypatch.setattr(grpc, "server", lambda *args, **more: _Registering(make(*args, **more), services, methods))
    with serve_guarded(tmp_path_factory.mktemp("m"), credentials, oidc_provider) as opened:
        pass
    assert not services  # no layer would wrap their methods
    assert sorted(methods) == sorted([*METHODS] * len(opened.addresses))
    assert rules(Grpc()).keys() == rules(Grpc(health="identified")).keys() == set(METHODS)
    assert {row.path for row in TABLE} == set(METHODS)


def test_every_outcome_and_kind_of_caller_has_rows() -> None:
    assert {path for path, rule in rules(Grpc()).items() if rule is Rule.GRANT} == set(OPERATIONS)
    for path in OPERATIONS:
        assert {row.outcome for row in TABLE if row.path == path} >= OUTCOMES
    assert {row.outcome for row in TABLE if row.path == GET} >= {DURATION_ABOVE, TAG_NOT_GRANTED}
    assert {identity.standing for identity in IDENTITIES.values()} == set(Standing)


def test_a_method_without_a_rule_is_denied_to_all(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    credentials: Credentials,
    oidc_provider: OidcProvider,
) -> None:
    monkeypatch.setattr(rpc_server, "rules", lambda _config: {})
    rows = [next(row for row in TABLE if row.path == path) for path in METHODS]
    with serve_guarded(tmp_path_factory.mktemp("m"), credentials, oidc_provider) as opened:
        for kind in ("key", "anonymous"):
            identity = IDENTITIES[kind]
            with opened.channel(identity.listener) as channel:
                for row in rows:
                    request, metadata = row.request(opened), identity.metadata(credentials)
                    opened.reached.clear()
                    failed = failure(lambda: call(row.path, channel, request, metadata))  # noqa: B023 - called at once
                    assert (failed.code, failed.reason) == DENIED
                    assert opened.reached == []
