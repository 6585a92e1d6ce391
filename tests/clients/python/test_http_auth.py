"""The token on requests over HTTP: httpx, httpx in asyncio, and requests."""

import math
from collections.abc import AsyncIterator, Callable, Iterator

import grpc
import httpx
import pytest
import requests
from tests.clients.python.facades import AsyncFacade, Facade, SyncFacade, patient
from tests.clients.python.orders_over_http import OrdersOverHttp, Seen, orders_over_http
from tests.fakes.clock import FakeClock

from tokend_client import ErrorReason, TokendError, TokenRequest, downstream_code
from tokend_client.httpx_auth import AsyncHttpxTokenAuth, HttpxTokenAuth
from tokend_client.requests_auth import RequestsTokenAuth
from tokend_client.testing import Failure, FakeTokendServer

#: Sends a request and follows redirects: the URL, the parts of the body if there is one, and whether it is a stream.
Ask = Callable[..., int]


@pytest.fixture
def orders() -> Iterator[OrdersOverHttp]:
    with orders_over_http() as running:
        yield running


def by_httpx(facade: SyncFacade, alice: TokenRequest) -> Ask:
    def ask(
        url: str, body: bytes | None = None, *, stream: bool = False, timeout: float = 5.0, plaintext: bool = True
    ) -> int:
        content = iter([body]) if stream and body is not None else body
        auth = HttpxTokenAuth(facade.cache.source(alice), plaintext=plaintext)
        with httpx.Client(auth=auth, trust_env=False, follow_redirects=True, timeout=timeout) as http:
            return http.request("GET" if body is None else "POST", url, content=content).status_code

    return ask


def by_requests(facade: SyncFacade, alice: TokenRequest) -> Ask:
    def ask(
        url: str, body: bytes | None = None, *, stream: bool = False, timeout: float = 5.0, plaintext: bool = True
    ) -> int:
        data = iter([body]) if stream and body is not None else body
        with requests.Session() as session:
            session.trust_env = False
            session.auth = RequestsTokenAuth(facade.cache.source(alice), timeout=timeout, plaintext=plaintext)
            return session.request("GET" if body is None else "POST", url, data=data, timeout=5).status_code

    return ask


def by_async_httpx(facade: AsyncFacade, alice: TokenRequest) -> Ask:
    async def once(body: bytes) -> AsyncIterator[bytes]:
        yield body

    async def ask(url: str, body: bytes | None, timeout: float, *, stream: bool, plaintext: bool) -> int:  # noqa: ASYNC109 - httpx's own
        content = once(body) if stream and body is not None else body
        auth = AsyncHttpxTokenAuth(facade.cache.source(alice), plaintext=plaintext)
        async with httpx.AsyncClient(auth=auth, trust_env=False, follow_redirects=True, timeout=timeout) as http:
            return (await http.request("GET" if body is None else "POST", url, content=content)).status_code

    return lambda url, body=None, stream=False, timeout=5.0, plaintext=True: facade.run(
        ask(url, body, timeout, stream=stream, plaintext=plaintext)
    )


@pytest.fixture(
    params=[(SyncFacade, by_httpx), (SyncFacade, by_requests), (AsyncFacade, by_async_httpx)],
    ids=["httpx", "requests", "httpx in asyncio"],
)
def facade_and_ask(
    request: pytest.FixtureRequest, server: FakeTokendServer, clock: FakeClock, alice: TokenRequest
) -> Iterator[tuple[Facade, Ask]]:
    facade_type, make = request.param
    with facade_type(server.endpoint, patient(clock=clock)) as facade:
        yield facade, make(facade, alice)


@pytest.fixture
def facade(facade_and_ask: tuple[Facade, Ask]) -> Facade:
    return facade_and_ask[0]


@pytest.fixture
def ask(facade_and_ask: tuple[Facade, Ask]) -> Ask:
    return facade_and_ask[1]


def bearer(facade: Facade, alice: TokenRequest) -> str:
    return f"Bearer {facade.ask(alice).value}"


def test_requests_carry_the_token(ask: Ask, orders: OrdersOverHttp, facade: Facade, alice: TokenRequest) -> None:
    assert [ask(orders.url), ask(f"{orders.url}/list", b"two")] == [200, 200]
    token = bearer(facade, alice)
    assert orders.seen == [Seen("/", token, b""), Seen("/list", token, b"two")]


@pytest.mark.parametrize("timeout", [0, -1, math.nan])
def test_the_timeout_for_the_token_is_positive(alice: TokenRequest, timeout: float) -> None:
    with (
        SyncFacade("localhost:1") as facade,
        pytest.raises(ValueError, match=f"timeout must be positive: {timeout}"),
    ):
        RequestsTokenAuth(facade.source(alice), timeout=timeout)


def test_the_token_is_not_sent_over_http_unless_plaintext_is_set(
    ask: Ask, orders: OrdersOverHttp, server: FakeTokendServer
) -> None:
    with pytest.raises(TokendError, match="plaintext=True") as caught:
        ask(orders.url, plaintext=False)
    assert downstream_code(caught.value) is grpc.StatusCode.UNAUTHENTICATED
    assert (orders.seen, server.requests) == ([], [])


def test_a_rejected_token_is_replaced_once(
    ask: Ask, orders: OrdersOverHttp, facade: Facade, alice: TokenRequest, server: FakeTokendServer
) -> None:
    first = bearer(facade, alice)
    orders.status = lambda seen: 401 if seen.authorization == first else 200
    assert [ask(orders.url, b"once more"), ask(orders.url)] == [200, 200]
    second = bearer(facade, alice)
    assert orders.seen == [
        Seen("/", first, b"once more"),
        Seen("/", second, b"once more"),
        Seen("/", second, b""),
    ]
    assert len(server.requests) == 2


def test_a_redirect_after_a_rejected_token_has_the_new_one(
    ask: Ask, orders: OrdersOverHttp, facade: Facade, alice: TokenRequest
) -> None:
    first = bearer(facade, alice)
    orders.status = lambda seen: 401 if seen.authorization == first else 302 if seen.path == "/" else 200
    orders.location = f"{orders.url}/moved"
    assert ask(orders.url) == 200
    second = bearer(facade, alice)
    assert orders.seen == [Seen("/", first, b""), Seen("/", second, b""), Seen("/moved", second, b"")]


def test_a_service_that_rejects_every_token_is_called_twice(ask: Ask, orders: OrdersOverHttp) -> None:
    orders.status = lambda _: 401
    assert ask(orders.url) == 401
    assert len({each.authorization for each in orders.seen}) == len(orders.seen) == 2


def test_a_stream_is_sent_once_and_the_token_is_dropped(
    ask: Ask, orders: OrdersOverHttp, facade: Facade, alice: TokenRequest
) -> None:
    first = bearer(facade, alice)
    orders.status = lambda _: 401
    assert ask(orders.url, b"stream", stream=True) == 401
    assert orders.seen == [Seen("/", first, b"stream")]
    assert bearer(facade, alice) != first


def test_another_host_neither_gets_the_token_nor_rejects_it(
    ask: Ask, orders: OrdersOverHttp, facade: Facade, alice: TokenRequest
) -> None:
    with orders_over_http() as other:
        orders.status = lambda _: 302
        orders.location = f"{other.url}/elsewhere"
        other.status = lambda _: 401
        assert ask(orders.url) == 401
        assert other.seen == [Seen("/elsewhere", None, b"")]
    assert orders.seen == [Seen("/", bearer(facade, alice), b"")]


def test_without_a_token_nothing_is_sent(ask: Ask, orders: OrdersOverHttp, server: FakeTokendServer) -> None:
    server.fail(Failure(ErrorReason.NOT_AUTHORIZED))
    with pytest.raises(TokendError) as caught:
        ask(orders.url)
    assert caught.value.reason == ErrorReason.NOT_AUTHORIZED
    assert orders.seen == []


def test_a_request_does_not_wait_for_its_token_without_end(
    ask: Ask, orders: OrdersOverHttp, server: FakeTokendServer
) -> None:
    server.pause()
    with pytest.raises(TokendError) as caught:
        ask(orders.url, timeout=0.05)
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    server.resume()
    assert orders.seen == []
