"""The synchronous and the asyncio client behind one interface, so that one test covers both."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any, Self, TypeAlias, TypeVar

import grpc

from tokend_client import (
    AsyncClient,
    AsyncTokenCache,
    AsyncTokenSource,
    CachingPolicy,
    Client,
    Token,
    TokenCache,
    TokendError,
    TokenRequest,
    TokenSource,
)
from tokend_client.verifier import TokenVerifier, VerifiedIdentity

#: Seconds that a test waits for an expected event.
TIMEOUT = 30

#: Makes gRPC use a separate connection for the client.
OPTIONS = (("grpc.use_local_subchannel_pool", 1),)

_Result = TypeVar("_Result")


def patient(**settings: Any) -> CachingPolicy:  # noqa: ANN401 - those of a policy
    """Returns a policy whose refreshes are not attempted a second time on a busy machine."""
    return CachingPolicy(refresh_timeout=2 * TIMEOUT, **settings)


class Calls:
    """The attempts of a client's calls, as seen by an interceptor.

    Attributes:
        methods: Their methods, in order.
        most_at_once: The maximum number of concurrent attempts.
    """

    def __init__(self) -> None:
        self.methods: list[str] = []
        self.most_at_once = 0
        self._in_flight = 0
        self._changed = threading.Condition()

    def begin(self, method: str) -> None:
        with self._changed:
            self.methods.append(method)
            self._in_flight += 1
            self.most_at_once = max(self.most_at_once, self._in_flight)
            self._changed.notify_all()

    def end(self, _: object) -> None:
        with self._changed:
            self._in_flight -= 1

    def wait_for(self, count: int) -> None:
        """Waits until this many attempts have started since its creation."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.methods) >= count, TIMEOUT)


class SyncFacade:
    """A client with a cache.

    Attributes:
        calls: The attempts of its calls.
    """

    def __init__(self, target: str, policy: CachingPolicy | None = None, **settings: Any) -> None:  # noqa: ANN401
        self.calls = Calls()
        max_users = settings.pop("max_users", 10_000)
        options = {"options": OPTIONS, "interceptors": [_SyncCounter(self.calls)], **_transport(settings), **settings}
        self.client = Client(target, **options)
        self.cache = TokenCache(self.client, policy=policy, max_users=max_users)
        self._threads = ThreadPoolExecutor(max_workers=80)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cache.close()
        self.client.close()
        self._threads.shutdown()

    def call(self, operation: str, **fields: Any) -> Any:  # noqa: ANN401 - what the operation answers
        return getattr(self.client, operation)(**fields)

    def ask(self, request: TokenRequest, timeout: float | None = TIMEOUT) -> Token:
        return self.cache.token(request, timeout)

    def begin(self, request: TokenRequest, timeout: float | None = TIMEOUT) -> "Future[Token]":
        return self._threads.submit(self.ask, request, timeout)

    def source(self, request: TokenRequest) -> TokenSource:
        return self.cache.source(request)

    def snapshot(self, request: TokenRequest) -> Token:
        snapshot = self.source(request).snapshot
        assert snapshot
        return snapshot

    def wait_for_refresh(self, request: TokenRequest) -> None:
        self.source(request).wait_for_refresh(TIMEOUT)

    def wait_until_connected(self) -> None:
        grpc.channel_ready_future(self.client._channel).result(TIMEOUT)  # noqa: SLF001 - no caller needs it

    def ask_briefly(self, request: TokenRequest) -> None:
        """Requests a token without waiting."""
        with suppress(TokendError):
            self.ask(request, 0.01)

    def close_source(self, request: TokenRequest) -> None:
        self.source(request).close()

    def close_cache(self) -> None:
        self.cache.close()

    def verify(self, verifier: TokenVerifier, token: str) -> VerifiedIdentity:
        return verifier.verify(token)


class AsyncFacade:
    """As `SyncFacade`, with an event loop on a separate thread."""

    def __init__(self, target: str, policy: CachingPolicy | None = None, **settings: Any) -> None:  # noqa: ANN401
        self.calls = Calls()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        max_users = settings.pop("max_users", 10_000)
        options = {"options": OPTIONS, "interceptors": [_AsyncCounter(self.calls)], **_transport(settings), **settings}
        with ExitStack() as undo:  # a client that rejects its settings must not leave the loop running
            undo.callback(self._end_loop)
            self.client = self.on_loop(lambda: AsyncClient(target, **options))
            self.cache = AsyncTokenCache(self.client, policy=policy, max_users=max_users)
            undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self.cache.close())
        self.run(self.client.close())
        self._end_loop()

    def run(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(TIMEOUT)

    def on_loop(self, make: Callable[[], _Result]) -> _Result:
        async def made() -> _Result:
            return make()

        return self.run(made())

    def _end_loop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def call(self, operation: str, **fields: Any) -> Any:  # noqa: ANN401 - what the operation answers
        return self.run(getattr(self.client, operation)(**fields))

    def ask(self, request: TokenRequest, timeout: float | None = TIMEOUT) -> Token:
        return self.begin(request, timeout).result(TIMEOUT)

    def begin(self, request: TokenRequest, timeout: float | None = TIMEOUT) -> "Future[Token]":
        return asyncio.run_coroutine_threadsafe(self.cache.token(request, timeout), self.loop)

    def source(self, request: TokenRequest) -> AsyncTokenSource:
        return self.on_loop(lambda: self.cache.source(request))

    def snapshot(self, request: TokenRequest) -> Token:
        snapshot = self.source(request).snapshot
        assert snapshot
        return snapshot

    def wait_for_refresh(self, request: TokenRequest) -> None:
        self.run(self.source(request).wait_for_refresh())

    def wait_until_connected(self) -> None:
        self.run(self.client._channel.channel_ready())  # noqa: SLF001 - as above

    def ask_briefly(self, request: TokenRequest) -> None:
        with suppress(TokendError):
            self.ask(request, 0.01)

    def close_source(self, request: TokenRequest) -> None:
        self.run(self.source(request).close())

    def close_cache(self) -> None:
        self.run(self.cache.close())

    def verify(self, verifier: TokenVerifier, token: str) -> VerifiedIdentity:
        return self.run(verifier.verify_async(token))


def _transport(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"plaintext": settings.get("credentials") is None}


Facade: TypeAlias = SyncFacade | AsyncFacade

FACADES: tuple[type[Facade], ...] = (SyncFacade, AsyncFacade)


class _SyncCounter(grpc.UnaryUnaryClientInterceptor):
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.ClientCallDetails, request: object
    ) -> Any:  # noqa: ANN401 - what goes on
        self._calls.begin(client_call_details.method.rpartition("/")[2])
        call = continuation(client_call_details, request)
        call.add_done_callback(self._calls.end)
        return call


class _AsyncCounter(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def intercept_unary_unary(
        self,
        continuation: Callable[..., Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: object,
    ) -> Any:  # noqa: ANN401 - what goes on
        method: Any = client_call_details.method  # bytes, despite its type
        self._calls.begin(method.decode().rpartition("/")[2])
        call = await continuation(client_call_details, request)
        call.add_done_callback(self._calls.end)
        return call
