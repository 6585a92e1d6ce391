"""The middleware, called as an ASGI server calls it."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest
from tests.clients.python.verifier.issuer import IDENTITY_ID, token
from tests.fakes.oidc_provider import OidcProvider

from tokend_client.verifier import IdentityMiddleware, TokenVerifier, current_identity

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class App:
    """An application that records its callers."""

    def __init__(self) -> None:
        self.seen: list[tuple[str | None, str | None]] = []

    async def __call__(self, scope: Message, _receive: Receive, send: Send) -> None:
        identity = scope.get("tokend.identity")
        try:
            current = current_identity().identity_id
        except LookupError:
            current = None
        self.seen.append((identity and identity.identity_id, current))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def app() -> App:
    return App()


def ask(app: IdentityMiddleware, *authorization: str, **scope: object) -> list[Message]:
    """Returns the response to a request with these `authorization` headers."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError

    headers = [(b"host", b"x"), *((b"authorization", value.encode("latin-1")) for value in authorization)]
    asyncio.run(app({"type": "http", "path": "/orders", "headers": headers, **scope}, receive, send))
    return sent


def test_the_application_gets_the_identity_of_the_caller(
    issuer: OidcProvider, verifier: TokenVerifier, app: App
) -> None:
    middleware = IdentityMiddleware(app, verifier)
    assert ask(middleware, f"Bearer {token(issuer)}")[0]["status"] == 204
    assert ask(middleware, f"bearer {token(issuer)}", type="websocket")[0]["status"] == 204
    assert app.seen == [(IDENTITY_ID, IDENTITY_ID)] * 2


@pytest.mark.parametrize("values", [(), ("",), ("Bearer",), ("Bearer ",), ("Basic YTpi",), ("token",)])
def test_a_request_without_a_token_does_not_reach_the_application(
    verifier: TokenVerifier, app: App, values: tuple[str, ...]
) -> None:
    start, body = ask(IdentityMiddleware(app, verifier), *values)
    assert (start["status"], app.seen) == (401, [])
    assert dict(start["headers"])[b"www-authenticate"] == b"Bearer"
    assert body["body"] == b"the caller has sent no bearer token\n"


def test_a_rejected_token_is_answered_with_the_reason(issuer: OidcProvider, verifier: TokenVerifier, app: App) -> None:
    start, _ = ask(IdentityMiddleware(app, verifier), f"Bearer {token(issuer, aud='other')}")
    assert (start["status"], app.seen) == (401, [])
    challenge = b'Bearer error="invalid_token", error_description="the token is for another identity pool"'
    assert dict(start["headers"])[b"www-authenticate"] == challenge


def test_two_tokens_are_rejected(issuer: OidcProvider, verifier: TokenVerifier, app: App) -> None:
    good = f"Bearer {token(issuer)}"
    assert ask(IdentityMiddleware(app, verifier), good, good)[0]["status"] == 401


def test_without_keys_the_caller_may_try_again(issuer: OidcProvider, verifier: TokenVerifier, app: App) -> None:
    good = token(issuer)
    issuer.stop()
    start, _ = ask(IdentityMiddleware(app, verifier), f"Bearer {good}")
    assert (start["status"], dict(start["headers"])[b"retry-after"]) == (503, b"1")


def test_open_paths_and_the_lifespan_need_no_token(verifier: TokenVerifier, app: App) -> None:
    middleware = IdentityMiddleware(app, verifier, open_paths=["/healthz"])
    assert ask(middleware, path="/healthz")[0]["status"] == 204
    assert ask(middleware, path="/healthz/x")[0]["status"] == 401
    assert ask(middleware, type="lifespan")[0]["status"] == 204
    assert app.seen == [(None, None)] * 2


def test_a_websocket_is_refused_before_it_is_accepted(verifier: TokenVerifier, app: App) -> None:
    middleware = IdentityMiddleware(app, verifier)
    [closed] = ask(middleware, type="websocket")
    assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
    start, body = ask(middleware, type="websocket", extensions={"websocket.http.response": {}})
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert body["type"] == "websocket.http.response.body"
