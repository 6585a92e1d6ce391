"""clients/python/README.md: every snippet runs unchanged except for the server's port."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import httpx
import pytest
from tests.clients.guarded import Guarded
from tests.clients.python.bearer_server import bearer_server, call
from tests.clients.python.facades import OPTIONS, TIMEOUT
from tests.clients.python.orders_over_http import orders_over_http
from tests.clients.python.sts import WebIdentitySts
from tests.clients.python.verifier.issuer import IDENTITY_ID, POOL, token
from tests.fakes.oidc_provider import OidcProvider
from tests.support.certificates import Certificate, write_certificate

import tokend_client
from tokend_client import CachingPolicy, Client, ErrorReason, TokenCache, TokendError, TokenRequest, TokenSource
from tokend_client.testing import Failure, FakeTokendServer

ROOT = Path(__file__).parents[3]
README = (ROOT / "clients" / "python" / "README.md").read_text(encoding="utf-8")
ROLE = "arn:aws:iam::123456789012:role/reader"


def snippets() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def names(server: FakeTokendServer) -> SimpleNamespace:
    """The definitions of each snippet after its run; they run in order, each by itself."""
    defined: dict[str, Any] = {}
    for number, snippet in enumerate(snippets(), 1):
        namespace: dict[str, Any] = {"__name__": "readme"}
        code = compile(snippet.replace("127.0.0.1:50051", server.endpoint), f"README.md, snippet {number}", "exec")
        exec(code, namespace)
        defined |= namespace
    return SimpleNamespace(**defined)


def test_the_first_snippet_is_ten_lines_to_the_first_token(
    server: FakeTokendServer, capsys: pytest.CaptureFixture[str]
) -> None:
    first = snippets()[0]
    assert len([line for line in first.splitlines() if line]) <= 10
    exec(first.replace("127.0.0.1:50051", server.endpoint), {})
    assert server.identity_pool_id.partition(":")[0] in capsys.readouterr().out


def test_every_snippet_is_tested_here(names: SimpleNamespace) -> None:
    defined = {name for name, value in vars(names).items() if getattr(value, "__module__", None) == "readme"}
    used = {"connect", "channel_with_token", "aws_session", "identity_of", "test_a_known_user_and_a_throttled_one"}
    used |= {"connect_by_certificate", "connect_by_token", "channel_with_fresh_tokens"}
    used |= {"orders_server", "list_orders", "guarded", "httpx_with_token", "requests_with_token", "orders_of"}
    ran = {"user", "main"}
    assert defined - ran == used


@pytest.fixture
def issuer() -> Iterator[OidcProvider]:
    with OidcProvider() as running:
        yield running


def test_a_grpc_server_knows_its_callers(names: SimpleNamespace, issuer: OidcProvider) -> None:
    server = names.orders_server(issuer.issuer, POOL)
    handlers: Any = {"List": grpc.unary_unary_rpc_method_handler(names.list_orders)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("example.Orders", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        send: Any = channel.unary_unary("/example.Orders/List")
        bearer = f"Bearer {token(issuer)}"
        assert send(b"", metadata=[("authorization", bearer)], timeout=TIMEOUT) == f"orders of {IDENTITY_ID}".encode()
        with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
            send(b"", timeout=TIMEOUT)
    server.stop(None).wait()


def test_an_asgi_application_knows_its_callers(names: SimpleNamespace, issuer: OidcProvider) -> None:
    async def who(scope: dict[str, Any], _receive: object, send: Callable[..., Awaitable[None]]) -> None:
        text = "ok" if scope["path"] == "/healthz" else scope["tokend.identity"].identity_id
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": text.encode()})

    app = names.guarded(who, issuer.issuer, POOL)

    async def ask(path: str, headers: dict[str, str]) -> tuple[int, str]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://orders.example.test") as http:
            answer = await http.get(path, headers=headers)
        return answer.status_code, answer.text

    assert asyncio.run(ask("/", {"authorization": f"Bearer {token(issuer)}"})) == (200, IDENTITY_ID)
    assert asyncio.run(ask("/", {}))[0] == 401
    assert asyncio.run(ask("/healthz", {})) == (200, "ok")


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificate:
    """A server whose certificate the system trusts."""
    made = write_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.certificate_file))
    return made


def test_requests_over_http_carry_the_token(
    names: SimpleNamespace,
    source: TokenSource,
    server: FakeTokendServer,
    alice: TokenRequest,
    certificate: Certificate,
) -> None:
    bearer = f"Bearer {source.token().value}"
    with orders_over_http(certificate) as orders:
        with names.httpx_with_token(orders.url, source) as http:
            http.get("/orders")
            with Client(server.endpoint, plaintext=True, options=OPTIONS) as client, TokenCache(client) as cache:
                names.orders_of(alice, cache, http)
                of_alice = f"Bearer {cache.token(alice).value}"
        with names.requests_with_token(source) as session:
            session.trust_env = False
            session.verify = str(certificate.certificate_file)
            session.get(f"{orders.url}/orders")
    assert [each.authorization for each in orders.seen] == [bearer, of_alice, bearer]


def test_connect_uses_tls(names: SimpleNamespace, tmp_path: Path) -> None:
    files = write_certificate(tmp_path)
    pair = (files.private_key_file.read_bytes(), files.certificate_file.read_bytes())
    with FakeTokendServer(credentials=grpc.ssl_server_credentials([pair])) as server:
        logins = {server.developer_provider_name: "alice"}
        request = TokenRequest(identity_pool_id=server.identity_pool_id, logins=logins)
        with names.connect(server.endpoint, files.certificate_file) as client:
            assert client.get_token(request).identity_id
        with Client(server.endpoint, plaintext=True) as plain, pytest.raises(TokendError):
            plain.get_token(request)


def test_a_certificate_and_a_token_identify_the_caller(names: SimpleNamespace, guarded: Guarded) -> None:
    logins = {guarded.developer_provider_name: "alice"}
    request = TokenRequest(identity_pool_id=guarded.identity_pool_id, logins=logins)
    ca, key, certificate, token = (
        Path(name) for name in (guarded.ca_file, guarded.private_key_file, guarded.certificate_file, guarded.key_file)
    )
    with (
        names.connect_by_certificate(guarded.mutual_tls, ca, key, certificate) as one,
        names.connect_by_token(guarded.bearer, ca, token) as other,
    ):
        assert one.get_token(request).identity_id == other.get_token(request).identity_id


def test_the_channel_sends_the_token(names: SimpleNamespace, source: TokenSource, tmp_path: Path) -> None:
    files = write_certificate(tmp_path)
    certificate = files.certificate_file.read_bytes()
    keys = grpc.ssl_server_credentials([(files.private_key_file.read_bytes(), certificate)])
    with bearer_server(credentials=keys) as orders:
        tls = grpc.ssl_channel_credentials(certificate)
        with names.channel_with_token(orders.address, tls, source) as channel:
            call(channel)
        assert orders.seen == [f"Bearer {source.token().value}"]


def test_aws_credentials_come_from_tokens(
    names: SimpleNamespace, source: TokenSource, aws_settings: pytest.MonkeyPatch
) -> None:
    with WebIdentitySts() as sts:
        aws_settings.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        assert names.aws_session(source, ROLE).get_credentials().get_frozen_credentials().access_key == "AKIA1"
    assert sts.requests[0]["WebIdentityToken"] == source.token().value


def test_errors_are_distinguished(names: SimpleNamespace, server: FakeTokendServer, alice: TokenRequest) -> None:
    with Client(server.endpoint, plaintext=True, options=OPTIONS) as client:
        assert names.identity_of(client, alice)
        server.fail(Failure(ErrorReason.RESOURCE_NOT_FOUND))
        assert names.identity_of(client, alice) is None
        server.fail(Failure(ErrorReason.NOT_AUTHORIZED))
        with pytest.raises(TokendError):
            names.identity_of(client, alice)


def test_the_example_test_passes(names: SimpleNamespace) -> None:
    names.test_a_known_user_and_a_throttled_one()


def test_the_documented_settings_are_those_of_the_policy() -> None:
    documented = set(re.findall(r"(\w+)=…", " ".join(re.findall(r"CachingPolicy\(.*?\)", README))))
    assert documented == {field.name for field in fields(CachingPolicy)}


def test_the_documented_attributes_are_those_of_the_error() -> None:
    section = README.split("### Errors\n", 1)[1].split("### ", 1)[0]
    documented = {
        name for cell in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    }
    error = TokendError("text", grpc.StatusCode.ABORTED)
    attributes = {name for name in dir(error) if not name.startswith("_")} - set(dir(Exception()))
    assert documented == attributes - {"text"}


def test_every_public_name_is_defined() -> None:
    missing = [name for name in tokend_client.__all__ if not hasattr(tokend_client, name)]
    assert missing == []
