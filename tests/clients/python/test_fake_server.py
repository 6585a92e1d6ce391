"""The fake is a tokend in small: what is shown here of it is shown of the real one, too."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import grpc
import httpx
import jwt
import pytest
from tests.clients.python.twins import OPTIONS
from tests.fakes.clock import FakeClock
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, write_config

from tokend_client import Client, ErrorReason, Token, TokendError, TokenRequest
from tokend_client.testing import FakeAlgorithm, FakeTokendServer
from tokend_client.verifier import KeysUnavailable, TokenRejected, TokenVerifier
from tokend_server import app
from tokend_server.config import load_config


@dataclass(frozen=True)
class Tokend:
    """A service under test.

    Attributes:
        client: A client of it.
        pool: Its pool.
        provider: The pool's developer provider.
        issuer: The `iss` of its tokens.
        jwks: Its JWK Set as JSON.
        algorithm: What signs its tokens.
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
    service = app.start(load_config(write_config(tmp_path_factory.mktemp("real"))))
    try:
        with httpx.Client(trust_env=False) as http:
            jwks = http.get(f"{service.issuer}/.well-known/jwks.json").text
        with Client(service.grpc_addresses[0], plaintext=True, options=OPTIONS) as client:
            yield Tokend(client, POOL_ID, DEVELOPER_PROVIDER, service.issuer, jwks, "RS512")
    finally:
        service.stop()


@pytest.fixture(scope="module")
def fake() -> Iterator[Tokend]:
    with (
        FakeTokendServer(algorithm="RS512") as server,
        Client(server.endpoint, plaintext=True, options=OPTIONS) as client,
    ):
        yield Tokend(
            client, server.identity_pool_id, server.developer_provider_name, server.issuer, server.jwks, "RS512"
        )


@pytest.fixture(params=["real", "fake"])
def tokend(request: pytest.FixtureRequest) -> Tokend:
    service: Tokend = request.getfixturevalue(request.param)
    return service


def refused(reason: ErrorReason, call: Any) -> TokendError:  # noqa: ANN401 - whatever can be called
    with pytest.raises(TokendError) as caught:
        call()
    assert caught.value.reason == reason
    return caught.value


def test_a_user_keeps_its_identity(tokend: Tokend) -> None:
    assert tokend.identity("kept") == tokend.identity("kept") != tokend.identity("another")
    assert tokend.identity("kept").partition(":")[0] == tokend.pool.partition(":")[0]


@pytest.mark.parametrize("algorithm", get_args(FakeAlgorithm))
def test_the_fake_serves_what_verifiers_ask_an_issuer_for(algorithm: FakeAlgorithm) -> None:
    with (
        FakeTokendServer(algorithm=algorithm) as server,
        Client(server.endpoint, plaintext=True, options=OPTIONS) as client,
    ):
        user = TokenRequest(identity_pool_id=server.identity_pool_id, logins={server.developer_provider_name: "alice"})
        before = client.get_token(user)
        url = server.serve_issuer()
        assert url == server.serve_issuer() == server.issuer
        verifier = TokenVerifier(url, [server.identity_pool_id], algorithms=[algorithm])
        issued = client.get_token(user)
        assert verifier.verify(issued.value).identity_id == issued.identity_id
        with pytest.raises(TokenRejected, match="another issuer's"):
            verifier.verify(before.value)
    with pytest.raises(KeysUnavailable):
        TokenVerifier(url, [server.identity_pool_id]).verify(issued.value)


def test_tokens_verify_and_say_what_was_asked_for(tokend: Tokend) -> None:
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


def test_a_token_lives_for_fifteen_minutes_if_nothing_is_said(tokend: Tokend) -> None:
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


def test_what_belongs_elsewhere_is_refused(tokend: Tokend) -> None:
    settled, other = tokend.identity("settled"), tokend.identity("other")
    already = ErrorReason.DEVELOPER_USER_ALREADY_REGISTERED
    refused(already, lambda: tokend.identity("settled", other))
    conflict = ErrorReason.RESOURCE_CONFLICT
    refused(conflict, lambda: tokend.lookup(identity_id=settled, developer_user_identifier="other"))
    refused(conflict, lambda: tokend.lookup(identity_id=settled, developer_user_identifier="unknown"))
    refused(conflict, lambda: tokend.unlink(settled, "other"))


def test_the_unknown_is_not_found(tokend: Tokend) -> None:
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


def test_what_a_pool_cannot_accept_is_refused(tokend: Tokend) -> None:
    invalid = ErrorReason.INVALID_PARAMETER
    refused(invalid, lambda: tokend.token("user", logins={"other.example.test": "user"}))
    refused(invalid, lambda: tokend.merge("a", "b", "other.example.test"))
    refused(invalid, tokend.lookup)


@pytest.mark.parametrize("seconds", [0, -1, 86_401])
def test_all_missing_fields_are_named(tokend: Tokend, seconds: int) -> None:
    request = TokenRequest(identity_pool_id="", logins={}, token_duration=timedelta(seconds=seconds))
    error = refused(ErrorReason.VALIDATION_FAILED, lambda: tokend.client.get_token(request))
    assert {violation.field for violation in error.violations} == {"identity_pool_id", "logins", "token_duration"}
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT


def test_the_fake_dates_its_tokens_by_its_clock() -> None:
    clock = FakeClock(now=5000)
    with FakeTokendServer(clock=clock) as server, Client(server.endpoint, plaintext=True, options=OPTIONS) as client:
        request = TokenRequest(identity_pool_id=server.identity_pool_id, logins={server.developer_provider_name: "a"})
        assert client.get_token(request).expire_time.timestamp() == 5900


def test_the_fake_waits_for_calls_and_no_longer_than_given(server: FakeTokendServer) -> None:
    server.wait_for_calls(0)
    with pytest.raises(TimeoutError, match="0 of 1 calls"):
        server.wait_for_calls(1, timeout=0.01)


def test_the_fake_keeps_who_is_who_over_an_outage(server: FakeTokendServer, alice: TokenRequest) -> None:
    endpoint = server.endpoint
    with Client(endpoint, plaintext=True, options=OPTIONS) as client:
        before = client.get_token(alice).identity_id
    server.stop()
    server.start()
    assert server.endpoint == endpoint
    with Client(endpoint, plaintext=True, options=OPTIONS) as client:
        assert client.get_token(alice).identity_id == before


def test_the_fake_is_for_tests_alone() -> None:
    root = Path(__file__).parents[3] / "clients" / "python" / "tokend_client"
    library = [path for path in root.rglob("*.py") if "testing" not in path.parts]
    assert library
    assert not [path for path in library if "tokend_client.testing" in path.read_text(encoding="utf-8")]
