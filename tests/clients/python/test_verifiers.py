"""Tokens of the real server, verified by PyJWT with the keys that the issuer serves."""

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from tests.clients.python.facades import OPTIONS
from tests.fakes.clock import FakeClock

from tokend_client import Client
from tokend_client.verifier import TokenRejected, TokenVerifier
from tokend_server import app
from tokend_server.app import Service
from tokend_server.clock import Clock
from tokend_server.config import Config, Grpc, Issuer, Ops, Pool

PROVIDER = "login.example.test"
POOLS = {"RS512": "us-east-1:0a", "RS256": "us-east-1:0b", "ES256": "us-east-1:0c"}
OTHER_POOLS = {"RS512": "us-east-1:1a", "RS256": "us-east-1:1b", "ES256": "us-east-1:1c"}
TAGS = {"team": "röd", "cost centre": "42"}

Verify = Callable[[str], dict[str, Any]]


@contextmanager
def serving(directory: Path, clock: Clock | None = None, issuer: str | None = None) -> Iterator[Service]:
    pools = {
        pool: Pool.model_validate({"developer_provider_name": PROVIDER, "signing_algorithm": algorithm})
        for algorithm, pool in [*POOLS.items(), *OTHER_POOLS.items()]
    }
    config = Config(
        data_dir=directory,
        grpc=Grpc(listen=["127.0.0.1:0"], threads=2),
        issuer=Issuer(listen="127.0.0.1:0", url=issuer),
        ops=Ops(listen="127.0.0.1:0"),
        pools=pools,
    )
    service = app.start(config, clock)
    try:
        yield service
    finally:
        service.stop()


def token(service: Service, algorithm: str, pool: str | None = None) -> str:
    with Client(service.grpc_addresses[0], plaintext=True, options=OPTIONS) as client:
        return client.get_open_id_token_for_developer_identity(
            identity_pool_id=pool or POOLS[algorithm], logins={PROVIDER: "alice"}, principal_tags=TAGS
        ).value


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokend")


@pytest.fixture(scope="module")
def service(directory: Path) -> Iterator[Service]:
    with serving(directory) as running:
        yield running


@pytest.fixture(params=POOLS)
def algorithm(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def verify(service: Service, algorithm: str, monkeypatch: pytest.MonkeyPatch) -> Verify:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    keys = jwt.PyJWKClient(f"{service.issuer}/.well-known/jwks.json")

    def verified(encoded: str) -> dict[str, Any]:
        key = keys.get_signing_key_from_jwt(encoded)
        claims: dict[str, Any] = jwt.decode(
            encoded, key, algorithms=[algorithm], issuer=service.issuer, audience=POOLS[algorithm]
        )
        return claims

    return verified


def test_a_valid_token_is_accepted(service: Service, algorithm: str, verify: Verify) -> None:
    claims = verify(token(service, algorithm))
    assert claims["https://aws.amazon.com/tags"]["principal_tags"] == {name: [value] for name, value in TAGS.items()}


def test_the_clients_own_verifier_accepts_a_token_of_its_pool_only(
    service: Service, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    verifier = TokenVerifier(service.issuer, [POOLS[algorithm]])
    identity = verifier.verify(token(service, algorithm))
    assert identity.principal_tags == TAGS
    assert identity.identity_id == identity.claims["sub"]
    with pytest.raises(TokenRejected, match="another identity pool"):
        verifier.verify(token(service, algorithm, OTHER_POOLS[algorithm]))


@pytest.mark.parametrize("part", [0, 1, 2])
def test_an_altered_token_is_refused(service: Service, algorithm: str, verify: Verify, part: int) -> None:
    parts = token(service, algorithm).split(".")
    content = bytearray(base64.urlsafe_b64decode(parts[part] + "=="))
    if part < 2:
        # Still valid JSON with the same meaning: only the signature detects the change.
        content = bytearray(content.replace(b"{", b"{ ", 1))
    else:
        content[len(content) // 2] ^= 1
    parts[part] = base64.urlsafe_b64encode(bytes(content)).rstrip(b"=").decode()
    with pytest.raises(jwt.InvalidSignatureError):
        verify(".".join(parts))


def test_a_token_of_another_audience_is_refused(service: Service, algorithm: str, verify: Verify) -> None:
    # All pools of an algorithm share their keys, so only `aud` distinguishes it.
    with pytest.raises(jwt.InvalidAudienceError):
        verify(token(service, algorithm, OTHER_POOLS[algorithm]))


def test_an_expired_token_is_refused(service: Service, directory: Path, algorithm: str, verify: Verify) -> None:
    with serving(directory, FakeClock(now=time.time() - 1000), service.issuer) as late:
        encoded = token(late, algorithm)
    with pytest.raises(jwt.ExpiredSignatureError):
        verify(encoded)


def test_a_token_of_another_issuer_is_refused(directory: Path, algorithm: str, verify: Verify) -> None:
    # The keys are the same, so only `iss` distinguishes it.
    with serving(directory, issuer="http://127.0.0.1:1") as other:
        encoded = token(other, algorithm)
    with pytest.raises(jwt.InvalidIssuerError):
        verify(encoded)


def test_a_token_of_another_server_is_refused(tmp_path: Path, algorithm: str, verify: Verify) -> None:
    with serving(tmp_path) as other:
        encoded = token(other, algorithm)
    with pytest.raises(jwt.PyJWKClientError):
        verify(encoded)
