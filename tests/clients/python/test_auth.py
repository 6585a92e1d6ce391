"""The token on calls to other services: over real TLS, within this machine, and never in plaintext."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import pytest
from tests.clients.python.bearer_server import METHOD, BearerServer, bearer_server, begin, call
from tests.clients.python.facades import TIMEOUT, AsyncFacade, Facade
from tests.fakes.clock import FakeClock
from tests.support.certificates import write_certificate

from tokend_client import (
    AsyncTokenInterceptor,
    AsyncTokenSource,
    ErrorReason,
    TokenAuthMetadataPlugin,
    TokendError,
    TokenInterceptor,
    TokenRequest,
    TokenSource,
    token_call_credentials,
)
from tokend_client.testing import Failure, FakeTokendServer


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """PEM of a key and its certificate."""
    files = write_certificate(tmp_path_factory.mktemp("tls"))
    return files.private_key_file.read_bytes(), files.certificate_file.read_bytes()


@pytest.fixture
def orders(tls: tuple[bytes, bytes]) -> Iterator[BearerServer]:
    with bearer_server(credentials=grpc.ssl_server_credentials([tls])) as running:
        yield running


def credentials(tls: tuple[bytes, bytes], source: TokenSource | AsyncTokenSource) -> grpc.ChannelCredentials:
    return grpc.composite_channel_credentials(grpc.ssl_channel_credentials(tls[1]), token_call_credentials(source))


@pytest.fixture
def channel(
    orders: BearerServer, tls: tuple[bytes, bytes], facade: Facade, alice: TokenRequest
) -> Iterator[grpc.Channel]:
    with grpc.secure_channel(orders.address, credentials(tls, facade.source(alice))) as channel:
        yield channel


def test_each_call_carries_the_token(
    orders: BearerServer, channel: grpc.Channel, facade: Facade, server: FakeTokendServer, alice: TokenRequest
) -> None:
    assert [call(channel), call(channel)] == [b"done", b"done"]
    assert orders.seen == [f"Bearer {facade.ask(alice).value}"] * 2
    assert len(server.requests) == 1


def test_calls_after_a_refresh_send_the_new_token(
    orders: BearerServer, channel: grpc.Channel, facade: Facade, clock: FakeClock, alice: TokenRequest
) -> None:
    call(channel)
    old = facade.ask(alice)
    clock.advance(300)
    call(channel)
    facade.wait_for_refresh(alice)
    call(channel)
    new = facade.ask(alice)
    assert old.value != new.value
    assert orders.seen == [f"Bearer {each.value}" for each in (old, old, new)]


def test_no_thread_is_blocked_while_the_token_is_fetched(
    orders: BearerServer, channel: grpc.Channel, server: FakeTokendServer
) -> None:
    server.pause()
    calls = [begin(channel) for _ in range(8)]
    server.wait_for_calls(1)
    assert not any(each.done() for each in calls)
    assert orders.seen == []
    server.resume()
    assert [each.result(TIMEOUT) for each in calls] == [b"done"] * 8
    assert len(server.requests) == 1


def test_the_plugin_returns_before_there_is_a_token(
    facade: Facade, server: FakeTokendServer, alice: TokenRequest
) -> None:
    answers: SimpleQueue[Any] = SimpleQueue()
    plugin: Any = TokenAuthMetadataPlugin(facade.source(alice))
    server.pause()
    plugin(None, lambda *answer: answers.put(answer))
    server.wait_for_calls(1)
    assert answers.empty()
    server.resume()
    expected = ((("authorization", f"Bearer {facade.ask(alice).value}"),), None)
    assert answers.get(timeout=TIMEOUT) == expected


def test_a_call_without_a_token_fails_and_does_not_arrive(
    orders: BearerServer, channel: grpc.Channel, server: FakeTokendServer
) -> None:
    server.fail(Failure(ErrorReason.NOT_AUTHORIZED, text="No such user."))
    with pytest.raises(grpc.RpcError, match="NOT_AUTHORIZED: No such user") as caught:
        call(channel)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert orders.seen == []


def test_a_closed_source_fails_the_call(orders: BearerServer, channel: grpc.Channel, facade: Facade) -> None:
    facade.close_cache()
    with pytest.raises(grpc.RpcError, match="Closed by its user"):
        call(channel)
    assert orders.seen == []


def test_an_asyncio_channel_sends_the_token(
    orders: BearerServer, tls: tuple[bytes, bytes], facade: Facade, alice: TokenRequest
) -> None:
    async def scenario() -> bytes:
        async with grpc.aio.secure_channel(orders.address, credentials(tls, source)) as channel:
            send: Any = channel.unary_unary(METHOD)
            return bytes(await send(b"", timeout=TIMEOUT))

    source = facade.source(alice)
    with AsyncFacade("127.0.0.1:1") as other:
        assert other.run(scenario()) == b"done"
    assert orders.seen == [f"Bearer {facade.ask(alice).value}"]


@pytest.mark.parametrize("kind", grpc.LocalConnectionType)
def test_the_token_is_sent_within_this_machine(
    kind: grpc.LocalConnectionType, tmp_path: Path, facade: Facade, alice: TokenRequest
) -> None:
    address = f"unix:{tmp_path}/s" if kind is grpc.LocalConnectionType.UDS else "127.0.0.1:0"
    bearer = token_call_credentials(facade.source(alice))
    both = grpc.composite_channel_credentials(grpc.local_channel_credentials(kind), bearer)
    with (
        bearer_server(address, grpc.local_server_credentials(kind)) as orders,
        grpc.secure_channel(orders.address, both) as channel,
    ):
        call(channel)
        assert orders.seen == [f"Bearer {facade.ask(alice).value}"]


def test_the_token_is_never_sent_in_plaintext(facade: Facade, alice: TokenRequest) -> None:
    bearer = token_call_credentials(facade.source(alice))
    with bearer_server() as orders, grpc.insecure_channel(orders.address) as channel:
        send: Any = channel.unary_unary(METHOD)
        with pytest.raises(grpc.RpcError) as caught:
            send(b"", timeout=TIMEOUT, credentials=bearer)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert orders.seen == []


@pytest.mark.parametrize("plaintext", [False, True])
def test_interceptors_send_the_token_in_plaintext_only_if_configured(
    facade: Facade, alice: TokenRequest, server: FakeTokendServer, *, plaintext: bool
) -> None:
    with bearer_server() as orders, intercepted(facade, orders, alice, plaintext=plaintext) as ask:
        if plaintext:
            assert ask() == b"done"
            assert orders.seen == [f"Bearer {facade.ask(alice).value}"]
            return
        with pytest.raises(grpc.RpcError, match="plaintext=True") as caught:
            ask()
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert isinstance(caught.value.__cause__, TokendError)
        assert orders.seen == []
        assert len(server.requests) == 1


@contextmanager
def intercepted(
    facade: Facade,
    orders: BearerServer,
    user: TokenRequest,
    credentials: grpc.ChannelCredentials | None = None,
    *,
    plaintext: bool = False,
) -> "Iterator[Ask]":
    """Calls a service through the interceptor of the facade."""
    source: Any = facade.source(user)
    address = orders.address
    if isinstance(facade, AsyncFacade):

        async def open_channel() -> grpc.aio.Channel:
            interceptors = [AsyncTokenInterceptor(source, plaintext=plaintext)]
            if credentials is None:
                return grpc.aio.insecure_channel(address, interceptors=interceptors)
            return grpc.aio.secure_channel(address, credentials, interceptors=interceptors)

        async def send(channel: grpc.aio.Channel, timeout: float) -> bytes:  # noqa: ASYNC109 - the call's own
            method: Any = channel.unary_unary(METHOD)
            return bytes(await method(b"", timeout=timeout))

        aio_channel = facade.run(open_channel())
        yield lambda timeout=TIMEOUT: facade.run(send(aio_channel, timeout))
        facade.run(aio_channel.close())
    else:
        channel = grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address)
        with channel:
            intercepting = grpc.intercept_channel(channel, TokenInterceptor(source, plaintext=plaintext))
            method: Any = intercepting.unary_unary(METHOD)
            yield lambda timeout=TIMEOUT: bytes(method(b"", timeout=timeout))


class Picky(BearerServer):
    """Rejects tokens that it has received before."""

    def __call__(self, _request: bytes, context: grpc.ServicerContext) -> bytes:
        super().__call__(_request, context)
        if self.seen[-1] in self.rejected:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no longer")
        return b"done"

    def __init__(self) -> None:
        super().__init__()
        self.rejected: set[str | None] = set()


@pytest.fixture
def picky() -> Iterator[Picky]:
    with bearer_server(credentials=grpc.local_server_credentials(), service=Picky()) as running:
        assert isinstance(running, Picky)
        yield running


Ask = Callable[..., bytes]


@pytest.fixture
def ask(picky: Picky, facade: Facade, alice: TokenRequest) -> Iterator[Ask]:
    """Calls the picky service through the interceptor of the facade."""
    with intercepted(facade, picky, alice, grpc.local_channel_credentials()) as asking:
        yield asking


def test_a_rejected_token_is_replaced_once(
    ask: Ask, picky: Picky, facade: Facade, alice: TokenRequest, server: FakeTokendServer
) -> None:
    first = f"Bearer {facade.ask(alice).value}"
    picky.rejected.add(first)
    assert [ask(), ask()] == [b"done", b"done"]
    second = f"Bearer {facade.ask(alice).value}"
    assert picky.seen == [first, second, second]
    assert len(server.requests) == 2


def test_a_service_that_rejects_every_token_is_called_twice(ask: Ask, picky: Picky) -> None:
    picky.rejected = Everything()
    with pytest.raises(grpc.RpcError) as caught:
        ask()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert len(picky.seen) == len(set(picky.seen)) == 2


class Everything(set[str | None]):
    def __contains__(self, _: object) -> bool:
        return True


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (ErrorReason.TOO_MANY_REQUESTS, grpc.StatusCode.UNAVAILABLE),
        (ErrorReason.NOT_AUTHORIZED, grpc.StatusCode.PERMISSION_DENIED),
        (ErrorReason.CALLER_UNAUTHENTICATED, grpc.StatusCode.UNAUTHENTICATED),
    ],
)
def test_a_call_without_a_token_fails_with_its_downstream_code(
    ask: Ask, picky: Picky, server: FakeTokendServer, reason: ErrorReason, code: grpc.StatusCode
) -> None:
    server.fail(Failure(reason))
    with pytest.raises(grpc.RpcError) as caught:
        ask()
    assert caught.value.code() is code
    assert getattr(caught.value.__cause__, "reason", None) == reason
    assert picky.seen == []


def test_a_call_waits_for_its_token_within_its_own_deadline(ask: Ask, picky: Picky, server: FakeTokendServer) -> None:
    server.pause()
    begun = time.monotonic()
    with pytest.raises(grpc.RpcError) as caught:
        ask(timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - begun < 1.5
    assert picky.seen == []
