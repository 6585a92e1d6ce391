"""The controls of the fake: failures, pauses, counts, keys and times."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import grpc
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.clients.python.facades import OPTIONS
from tests.clients.python.refusals import refused
from tests.fakes.clock import FakeClock

from tokend_client import Client, ErrorReason, Token, TokendError, TokenRequest
from tokend_client.testing import Failure, FakeAlgorithm, FakeTokendServer, signer
from tokend_client.verifier import KeysUnavailable, TokenRejected, TokenVerifier


@pytest.mark.parametrize("algorithm", get_args(FakeAlgorithm))
def test_the_fake_serves_an_issuers_documents_to_verifiers(algorithm: FakeAlgorithm) -> None:
    with (
        FakeTokendServer(algorithm=algorithm) as server,
        Client(server.endpoint, plaintext=True, options=OPTIONS) as client,
    ):
        user = TokenRequest(identity_pool_id=server.identity_pool_id, logins={server.developer_provider_name: "alice"})
        before = client.get_token(user)
        url = server.serve_issuer()
        assert url == server.serve_issuer() == server.issuer
        with httpx.Client(trust_env=False) as http:
            for name in ("jwks.json", "jwks_uri"):
                assert http.get(f"{url}/.well-known/{name}").text == server.jwks
        verifier = TokenVerifier(url, [server.identity_pool_id], algorithms=[algorithm])
        issued = client.get_token(user)
        assert verifier.verify(issued.value).identity_id == issued.identity_id
        with pytest.raises(TokenRejected, match="another issuer"):
            verifier.verify(before.value)
    with pytest.raises(KeysUnavailable):
        TokenVerifier(url, [server.identity_pool_id]).verify(issued.value)


def ask(server: FakeTokendServer, **settings: Any) -> Token:  # noqa: ANN401 - those of a client
    request = TokenRequest(identity_pool_id=server.identity_pool_id, logins={server.developer_provider_name: "alice"})
    with Client(server.endpoint, plaintext=True, options=OPTIONS, **settings) as client:
        return client.get_token(request)


def test_the_next_calls_of_the_fake_fail(server: FakeTokendServer) -> None:
    server.fail(Failure(ErrorReason.INTERNAL))
    server.fail_next(Failure(ErrorReason.NOT_AUTHORIZED))
    server.fail_next(Failure(code=grpc.StatusCode.ABORTED, text="No reason."))
    refused(ErrorReason.NOT_AUTHORIZED, lambda: ask(server))
    with pytest.raises(TokendError) as caught:
        ask(server)
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.ABORTED, None)
    refused(ErrorReason.INTERNAL, lambda: ask(server))
    server.fail_next(Failure(ErrorReason.NOT_AUTHORIZED))
    server.recover()
    assert ask(server).identity_id


def test_a_failure_of_the_fake_has_the_code_and_the_exception_that_it_is_given(server: FakeTokendServer) -> None:
    code = grpc.StatusCode.DATA_LOSS
    server.fail(Failure(ErrorReason.INTERNAL, code=code, aws_error_code="InternalErrorException"))
    error = refused(ErrorReason.INTERNAL, lambda: ask(server))
    assert (error.code, error.aws_error_code) == (code, "InternalErrorException")


def test_a_call_of_the_fake_that_hangs_ends_with_its_callers_deadline(server: FakeTokendServer) -> None:
    server.fail_next(Failure(hangs=True))
    with pytest.raises(TokendError) as caught:
        ask(server, timeout=0.2)
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert len(server.requests) == 1


def test_the_fake_can_be_stopped_while_a_call_hangs(server: FakeTokendServer) -> None:
    server.fail(Failure(hangs=True))
    with ThreadPoolExecutor() as threads:
        call = threads.submit(ask, server)
        server.wait_for_calls(1)
        server.stop()
        assert isinstance(call.exception(30), TokendError)


def test_the_fake_counts_the_calls_of_each_operation(server: FakeTokendServer) -> None:
    ask(server)
    ask(server)
    assert server.calls("GetOpenIdTokenForDeveloperIdentity") == 2
    assert server.calls("LookupDeveloperIdentity") == 0


@pytest.mark.parametrize("algorithm", get_args(FakeAlgorithm))
def test_the_fake_signs_with_another_key_when_it_is_rotated(algorithm: FakeAlgorithm) -> None:
    with FakeTokendServer(algorithm=algorithm) as server:
        verifier = TokenVerifier(server.serve_issuer(), [server.identity_pool_id], algorithms=[algorithm])
        before = ask(server)
        server.rotate_key()
        after = ask(server)
        headers = [jwt.get_unverified_header(each.value) for each in (before, after)]
        assert headers[0]["kid"] != headers[1]["kid"]
        assert {each["alg"] for each in headers} == {algorithm}
        assert [verifier.verify(each.value).identity_id for each in (before, after)] == [before.identity_id] * 2


def test_the_fake_has_its_key_before_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def make(number: int) -> rsa.RSAPrivateKey:
        made.append(number)
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    monkeypatch.setattr(signer, "_rsa_key", make)
    with FakeTokendServer() as server:
        assert made == [0]
        ask(server)
        assert made == [0]
        server.rotate_key()
        assert made == [0, 1]


def test_the_fake_dates_its_tokens_by_its_clock() -> None:
    clock = FakeClock(now=5000)
    with FakeTokendServer(clock=clock) as server, Client(server.endpoint, plaintext=True, options=OPTIONS) as client:
        request = TokenRequest(identity_pool_id=server.identity_pool_id, logins={server.developer_provider_name: "a"})
        assert client.get_token(request).expire_time.timestamp() == 5900


def test_the_fake_waits_for_calls_and_no_longer_than_given(server: FakeTokendServer) -> None:
    server.wait_for_calls(0)
    with pytest.raises(TimeoutError, match="0 of 1 calls"):
        server.wait_for_calls(1, timeout=0.01)


def test_the_fake_keeps_its_identities_and_address_over_an_outage(
    server: FakeTokendServer, alice: TokenRequest
) -> None:
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
