"""The interceptors, in real gRPC servers, for the four kinds of methods."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any

import grpc
import pytest
from tests.clients.python.facades import TIMEOUT
from tests.clients.python.verifier.issuer import IDENTITY_ID, token
from tests.fakes.oidc_provider import OidcProvider

from tokend_client.verifier import AsyncIdentityInterceptor, IdentityInterceptor, TokenVerifier, current_identity

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


def who() -> bytes:
    try:
        return current_identity().identity_id.encode()
    except LookupError:
        return b"no identity"


def one(_request: object, _context: object) -> bytes:
    return who()


def many(_request: object, _context: object) -> Iterator[bytes]:
    yield who()
    yield who()


async def one_async(_request: object, _context: object) -> bytes:
    await asyncio.sleep(0)
    return who()


async def many_async(_request: object, _context: object) -> AsyncIterator[bytes]:
    yield who()
    await asyncio.sleep(0)
    yield who()


def handlers(one: Callable[..., Any], many: Callable[..., Any]) -> Sequence[grpc.GenericRpcHandler]:
    by_name: dict[str, Any] = {
        "unary_unary": grpc.unary_unary_rpc_method_handler(one),
        "unary_stream": grpc.unary_stream_rpc_method_handler(many),
        "stream_unary": grpc.stream_unary_rpc_method_handler(one),
        "stream_stream": grpc.stream_stream_rpc_method_handler(many),
        "open": grpc.unary_unary_rpc_method_handler(one),
    }
    return (grpc.method_handlers_generic_handler("example.Orders", by_name),)


@contextmanager
def serving(verifier: TokenVerifier) -> Iterator[str]:
    interceptor = IdentityInterceptor(verifier, open_methods=["/example.Orders/open"])
    server = grpc.server(ThreadPoolExecutor(4), interceptors=[interceptor])
    server.add_generic_rpc_handlers(handlers(one, many))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@contextmanager
def serving_async(verifier: TokenVerifier) -> Iterator[str]:
    started: SimpleQueue[tuple[str, Callable[[], object]]] = SimpleQueue()

    async def serve() -> None:
        interceptor = AsyncIdentityInterceptor(verifier, open_methods=["/example.Orders/open"])
        server = grpc.aio.server(interceptors=[interceptor])
        server.add_generic_rpc_handlers(handlers(one_async, many_async))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stopping, loop = asyncio.Event(), asyncio.get_running_loop()
        started.put((f"127.0.0.1:{port}", partial(loop.call_soon_threadsafe, stopping.set)))
        await stopping.wait()
        await server.stop(None)

    with ThreadPoolExecutor(1) as thread:
        ended = thread.submit(asyncio.run, serve())
        address, stop = started.get(timeout=TIMEOUT)
        yield address
        stop()
        ended.result()


@pytest.fixture(params=[serving, serving_async], ids=["threads", "asyncio"])
def call(request: pytest.FixtureRequest, verifier: TokenVerifier) -> Iterator[Callable[..., list[bytes]]]:
    """Calls a method of the server with a token, and returns all its responses."""
    with request.param(verifier) as address, grpc.insecure_channel(address) as channel:

        def call_it(method: str, *tokens: str) -> list[bytes]:
            kind = method if method in KINDS else "unary_unary"
            metadata = [("authorization", f"Bearer {each}") for each in tokens]
            send: Any = getattr(channel, kind)(f"/example.Orders/{method}")
            sent: Any = iter([b"", b""]) if kind.startswith("stream") else b""
            answer = send(sent, metadata=metadata, timeout=TIMEOUT)
            return list(answer) if kind.endswith("stream") else [answer]

        yield call_it


@pytest.mark.parametrize("kind", KINDS)
def test_methods_get_the_identity_of_the_caller(
    issuer: OidcProvider, call: Callable[..., list[bytes]], kind: str
) -> None:
    assert set(call(kind, token(issuer))) == {IDENTITY_ID.encode()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_identity_of_an_earlier_call_is_not_reused(
    issuer: OidcProvider, call: Callable[..., list[bytes]], kind: str
) -> None:
    call(kind, token(issuer))
    assert set(call(kind, token(issuer, sub="local:other"))) == {b"local:other"}
    assert call("open") == [b"no identity"]


@pytest.mark.parametrize("kind", KINDS)
def test_calls_without_a_valid_token_are_unauthenticated(
    issuer: OidcProvider, call: Callable[..., list[bytes]], kind: str
) -> None:
    for tokens, details in [
        ((), "the caller has sent no bearer token"),
        ((token(issuer, aud="other"),), "the token is for another identity pool"),
        ((token(issuer), token(issuer)), "the caller has sent more than one authorization header"),
    ]:
        with pytest.raises(grpc.RpcError) as caught:
            call(kind, *tokens)
        error: Any = caught.value
        assert (error.code(), error.details()) == (grpc.StatusCode.UNAUTHENTICATED, details)


@pytest.mark.parametrize("kind", KINDS)
def test_without_keys_calls_are_unavailable(issuer: OidcProvider, call: Callable[..., list[bytes]], kind: str) -> None:
    good = token(issuer)
    issuer.stop()
    with pytest.raises(grpc.RpcError) as caught:
        call(kind, good)
    error: Any = caught.value
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "the issuer's keys cannot be fetched")


def test_a_method_that_does_not_exist_stays_unimplemented(call: Callable[..., list[bytes]]) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call("nothing")
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
