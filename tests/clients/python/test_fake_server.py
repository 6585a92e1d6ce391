"""The fake behaves like tokend: these tests also run against the real server."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, cast

import grpc
import httpx
import jwt
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import QuotaFailure
from grpc_status import rpc_status
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.clients.python.facades import OPTIONS
from tests.clients.python.refusals import refused
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, write_config

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_client import Client, ErrorReason, Token, TokendError, TokenRequest
from tokend_client.testing import FakeTokendServer
from tokend_client.testing.limits import violations
from tokend_server import app
from tokend_server.config import load_config
from tokend_server.errors import ValidationFailed
from tokend_server.rpc.operations import OPERATIONS
from tokend_server.rpc.validation import check_limits


@dataclass(frozen=True)
class Tokend:
    """A service under test.

    Attributes:
        client: A client of the service.
        pool: Its pool.
        provider: The pool's developer provider.
        issuer: The `iss` of its tokens.
        jwks: Its JWK Set as JSON.
        algorithm: The signature algorithm of its tokens.
    """

    client: Client
    pool: str
    provider: str
    issuer: str
    jwks: str
    algorithm: str

    def token(self, user: str, identity_id: str | None = None, **fields: Any) -> Token:  # noqa: ANN401
        logins = fields.pop("logins", {self.provider: user})
        return self.client.get_open_id_token_for_developer_identity(
            identity_pool_id=self.pool, logins=logins, identity_id=identity_id, **fields
        )

    def identity(self, user: str, identity_id: str | None = None) -> str:
        return self.token(user, identity_id).identity_id

    def lookup(self, **fields: Any) -> tuple[str, tuple[str, ...]]:  # noqa: ANN401
        found = self.client.lookup_developer_identity(identity_pool_id=self.pool, **fields)
        return found.identity_id, found.developer_user_identifiers

    def merge(self, source: str, destination: str, provider: str | None = None) -> str:
        return self.client.merge_developer_identities(
            identity_pool_id=self.pool,
            developer_provider_name=provider or self.provider,
            source_user_identifier=source,
            destination_user_identifier=destination,
        )

    def unlink(self, identity_id: str, user: str) -> None:
        self.client.unlink_developer_identity(
            identity_pool_id=self.pool,
            identity_id=identity_id,
            developer_provider_name=self.provider,
            developer_user_identifier=user,
        )


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokend]:
    service = app.start(load_config(write_config(tmp_path_factory.mktemp("real"), algorithm="RS512")))
    try:
        with httpx.Client(trust_env=False) as http:
            jwks = http.get(f"{service.issuer}/.well-known/jwks.json").text
        with Client(service.grpc_addresses[0], plaintext=True, options=OPTIONS) as client:
            yield Tokend(client, POOL_ID, DEVELOPER_PROVIDER, service.issuer, jwks, "RS512")
    finally:
        service.stop()


@pytest.fixture(scope="module")
def fake() -> Iterator[Tokend]:
    with FakeTokendServer() as server, Client(server.endpoint, plaintext=True, options=OPTIONS) as client:
        yield Tokend(
            client, server.identity_pool_id, server.developer_provider_name, server.issuer, server.jwks, "RS512"
        )


@pytest.fixture(params=["real", "fake"])
def tokend(request: pytest.FixtureRequest) -> Tokend:
    service: Tokend = request.getfixturevalue(request.param)
    return service


def full_identities(error: TokendError) -> list[str]:
    """Returns the subject of the quota violation, which is only in the status: the client does not expose it."""
    status = rpc_status.from_call(cast("grpc.Call", error.__cause__))
    quota = QuotaFailure()
    assert [detail for detail in status.details if detail.Unpack(quota)]
    return [violation.subject for violation in quota.violations]


def test_a_user_keeps_its_identity(tokend: Tokend) -> None:
    assert tokend.identity("kept") == tokend.identity("kept") != tokend.identity("another")
    assert tokend.identity("kept").partition(":")[0] == tokend.pool.partition(":")[0]


def test_tokens_verify_and_have_the_requested_claims(tokend: Tokend) -> None:
    issued = tokend.token("verified", principal_tags={"team": "red"}, token_duration=timedelta(seconds=60))
    header = jwt.get_unverified_header(issued.value)
    key = jwt.PyJWKSet.from_json(tokend.jwks)[header["kid"]]
    claims = jwt.decode(issued.value, key, [tokend.algorithm], audience=tokend.pool, issuer=tokend.issuer)
    assert (header["typ"], header["alg"]) == ("JWS", tokend.algorithm)
    assert list(claims)[:3] == ["sub", "aud", "amr"]
    assert claims["sub"] == issued.identity_id
    assert claims["amr"] == ["authenticated", tokend.provider, f"{tokend.provider}:{tokend.pool}:verified"]
    assert claims["https://aws.amazon.com/tags"] == {"principal_tags": {"team": ["red"]}}
    assert claims["exp"] - claims["iat"] == 60
    assert issued.expire_time.timestamp() == claims["exp"]
    assert issued.expire_time - issued.refresh_time == timedelta(seconds=40)


def test_the_default_token_duration_is_fifteen_minutes(tokend: Tokend) -> None:
    issued = tokend.token("default")
    assert issued.expire_time - issued.refresh_time == timedelta(seconds=600)


def test_users_are_linked_by_identity_and_looked_up(tokend: Tokend) -> None:
    identity_id = tokend.identity("first")
    assert tokend.identity("second", identity_id) == identity_id
    assert tokend.identity("second") == identity_id
    found_id, users = tokend.lookup(identity_id=identity_id)
    assert (found_id, set(users)) == (identity_id, {"first", "second"})
    assert tokend.lookup(developer_user_identifier="first") == (found_id, users)
    assert tokend.lookup(identity_id=identity_id, developer_user_identifier="second") == (identity_id, ("second",))


def test_pages_show_every_user_once(tokend: Tokend) -> None:
    identity_id = tokend.identity("page 0")
    for number in range(1, 5):
        tokend.identity(f"page {number}", identity_id)
    seen: list[str] = []
    next_token = None
    for expected in (2, 2, 1):
        page = tokend.client.lookup_developer_identity(
            identity_pool_id=tokend.pool, identity_id=identity_id, max_results=2, next_token=next_token
        )
        assert len(page.developer_user_identifiers) == expected
        seen += page.developer_user_identifiers
        next_token = page.next_token
    assert next_token is None
    assert sorted(seen) == [f"page {number}" for number in range(5)]
    refused(ErrorReason.INVALID_PARAMETER, lambda: tokend.lookup(identity_id=identity_id, next_token="made-up"))


def test_pages_are_complete_if_users_are_unlinked_between_them(tokend: Tokend) -> None:
    identity_id = tokend.identity("stays 0")
    for number in range(1, 5):
        tokend.identity(f"stays {number}", identity_id)
    look_up = partial(tokend.client.lookup_developer_identity, identity_pool_id=tokend.pool, identity_id=identity_id)
    first = look_up(max_results=2)
    for user in first.developer_user_identifiers:
        tokend.unlink(identity_id, user)
    rest = look_up(next_token=first.next_token)
    seen = {*first.developer_user_identifiers, *rest.developer_user_identifiers}
    assert (seen, rest.next_token) == ({f"stays {number}" for number in range(5)}, None)


@pytest.mark.parametrize("made_up", ["1", "9" * 5000, "made-up", "é", "A"])
def test_page_tokens_of_other_identities_and_made_up_ones_are_rejected(tokend: Tokend, made_up: str) -> None:
    one, other = tokend.identity("one 0"), tokend.identity("other 0")
    for number in range(1, 3):
        tokend.identity(f"one {number}", one)
        tokend.identity(f"other {number}", other)
    page = tokend.client.lookup_developer_identity(identity_pool_id=tokend.pool, identity_id=one, max_results=1)
    for foreign in (made_up, page.next_token):
        refused(ErrorReason.INVALID_PARAMETER, partial(tokend.lookup, identity_id=other, next_token=foreign))


def test_an_identity_has_at_most_twenty_logins(tokend: Tokend) -> None:
    identity_id, other = tokend.identity("many 0"), tokend.identity("more 0")
    for number in range(1, 20):
        tokend.identity(f"many {number}", identity_id)
    tokend.identity("more 1", other)
    for call in (lambda: tokend.identity("many 20", identity_id), lambda: tokend.merge("more 0", "many 0")):
        assert full_identities(refused(ErrorReason.LIMIT_EXCEEDED, call)) == [identity_id]
    assert set(tokend.lookup(identity_id=other)[1]) == {"more 0", "more 1"}
    assert len(tokend.lookup(identity_id=identity_id)[1]) == 20
    assert tokend.merge("many 1", "many 0") == identity_id


def test_users_are_merged(tokend: Tokend) -> None:
    source, destination = tokend.identity("source"), tokend.identity("destination")
    assert [tokend.merge("source", "destination") for _ in range(2)] == [destination] * 2
    assert tokend.identity("source") == destination
    refused(ErrorReason.NOT_AUTHORIZED, lambda: tokend.identity("another", source))


def test_users_are_unlinked(tokend: Tokend) -> None:
    identity_id = tokend.identity("leaves")
    tokend.unlink(identity_id, "leaves")
    refused(ErrorReason.RESOURCE_NOT_FOUND, lambda: tokend.unlink(identity_id, "leaves"))
    refused(ErrorReason.NOT_AUTHORIZED, lambda: tokend.identity("leaves", identity_id))
    assert tokend.identity("leaves") != identity_id


def test_users_and_identities_that_do_not_match_are_rejected(tokend: Tokend) -> None:
    settled, other = tokend.identity("settled"), tokend.identity("other")
    already = ErrorReason.DEVELOPER_USER_ALREADY_REGISTERED
    refused(already, lambda: tokend.identity("settled", other))
    conflict = ErrorReason.RESOURCE_CONFLICT
    refused(conflict, lambda: tokend.lookup(identity_id=settled, developer_user_identifier="other"))
    refused(conflict, lambda: tokend.lookup(identity_id=settled, developer_user_identifier="unknown"))
    refused(conflict, lambda: tokend.unlink(settled, "other"))


def test_the_fake_applies_the_rules_of_the_service_for_public_logins(fake: Tokend) -> None:
    public = "accounts.example.test"

    def linked(user: str, login: str, identity_id: str | None = None) -> str:
        return fake.token(user, identity_id, logins={fake.provider: user, public: login}).identity_id

    one, other = linked("of one", "one"), linked("of other", "other")
    conflict = ErrorReason.RESOURCE_CONFLICT
    refused(conflict, lambda: linked("of one", "second"))
    refused(conflict, lambda: linked("of one", "other"))
    refused(conflict, lambda: linked("newcomer", "other", one))
    refused(conflict, lambda: fake.merge("of one", "of other"))
    assert fake.lookup(identity_id=one)[1] == ("of one",)
    fake.unlink(other, "of other")
    refused(ErrorReason.NOT_AUTHORIZED, lambda: fake.identity("newcomer", other))
    assert linked("newcomer", "other", other) == other


def test_unknown_identities_users_and_pools_are_not_found(tokend: Tokend) -> None:
    unknown = f"{tokend.pool.partition(':')[0]}:00000000-0000-4000-8000-000000000000"
    calls = {
        "Identity": [lambda: tokend.identity("lost", unknown), lambda: tokend.lookup(identity_id=unknown)],
        "DeveloperUser": [
            lambda: tokend.lookup(developer_user_identifier="unknown"),
            lambda: tokend.merge("unknown", "also unknown"),
        ],
    }
    for resource_type, each in calls.items():
        for call in each:
            error = refused(ErrorReason.RESOURCE_NOT_FOUND, call)
            assert error.resource
            assert error.resource.type == resource_type
    request = TokenRequest(identity_pool_id=unknown, logins={tokend.provider: "user"})
    error = refused(ErrorReason.RESOURCE_NOT_FOUND, lambda: tokend.client.get_token(request))
    assert error.resource
    assert (error.resource.type, error.resource.name) == ("IdentityPool", unknown)


def test_invalid_parameters_of_a_pool_are_rejected(tokend: Tokend) -> None:
    invalid = ErrorReason.INVALID_PARAMETER
    refused(invalid, lambda: tokend.token("user", logins={"other.example.test": "user"}))
    refused(invalid, lambda: tokend.merge("a", "b", "other.example.test"))
    refused(invalid, tokend.lookup)


@pytest.mark.parametrize("seconds", [0, -1, 86_401])
def test_all_invalid_fields_are_named(tokend: Tokend, seconds: int) -> None:
    request = TokenRequest(identity_pool_id="", logins={}, token_duration=timedelta(seconds=seconds))
    error = refused(ErrorReason.VALIDATION_FAILED, lambda: tokend.client.get_token(request))
    assert {violation.field for violation in error.violations} == {"identity_pool_id", "logins", "token_duration"}
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT


@given(
    pool=st.sampled_from(["", "local:0", "local", "x" * 56]),
    user=st.sampled_from(["", "u", "u" * 1024, "u" * 1025]),
    name=st.sampled_from(["", "login.example", "a b", "n" * 129]),
    number=st.sampled_from([0, 1, 60, 61, -1]),
    nanos=st.sampled_from([0, 1]),
    entries=st.dictionaries(
        st.sampled_from(["", "k", "k" * 128, "k" * 129]), st.sampled_from(["", "v", "v" * 257]), max_size=3
    ),
    many=st.sampled_from([0, 11, 51]),
)
@settings(max_examples=200)
def test_the_fake_has_the_limits_of_the_service(  # noqa: PLR0913, PLR0917 - what requests are made of
    pool: str, user: str, name: str, number: int, nanos: int, entries: dict[str, str], many: int
) -> None:
    entries |= {f"more {each}": "v" for each in range(many)}
    duration = Duration(seconds=number, nanos=nanos)
    for request in (
        pb.GetOpenIdTokenForDeveloperIdentityRequest(
            identity_pool_id=pool, identity_id=user, logins=entries, principal_tags=entries, token_duration=duration
        ),
        pb.GetOpenIdTokenForDeveloperIdentityRequest(identity_pool_id=pool, logins=entries),
        pb.LookupDeveloperIdentityRequest(
            identity_pool_id=pool, developer_user_identifier=user, max_results=number, next_token=name
        ),
        pb.MergeDeveloperIdentitiesRequest(
            identity_pool_id=pool,
            developer_provider_name=name,
            source_user_identifier=user,
            destination_user_identifier=user,
        ),
        pb.UnlinkDeveloperIdentityRequest(
            identity_pool_id=pool, identity_id=pool, developer_provider_name=name, developer_user_identifier=user
        ),
    ):
        expected = set()
        try:
            check_limits(OPERATIONS[type(request).__name__.removesuffix("Request")].limits, request)
        except ValidationFailed as failed:
            expected = {(each.field, each.constraint) for each in failed.violations}
        assert {(each.field, each.description) for each in violations(request)} == expected
