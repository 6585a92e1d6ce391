import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import grpc
from google.protobuf.message import Message

from tokend.v1.developer_identity_service_pb2_grpc import (
    DeveloperIdentityServiceServicer,
    add_DeveloperIdentityServiceServicer_to_server,
)
from tokend_client.clock import Clock, SystemClock
from tokend_client.testing.failures import Failure, Refused, abort
from tokend_client.testing.health import health_handler
from tokend_client.testing.issuer import FakeIssuer
from tokend_client.testing.operations import FakeOperations
from tokend_client.testing.signer import FakeAlgorithm, FakeSigner

#: More than the concurrent calls and clients of a test: each of them occupies a thread.
_THREADS = 128

#: Clients may ping at any rate, as with the service.
_OPTIONS = (
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1),
    ("grpc.http2.max_ping_strikes", 0),
)


class FakeTokendServer:
    """A fake tokend service with one pool, on a free port of the loopback. Use it as a context manager.

    It stores identities as the service does, and enforces the limits of the contract. `jwks` are the keys of its
    tokens.

    Args:
        identity_pool_id: The pool.
        developer_provider_name: The pool's developer provider.
        clock: The clock for the times of its tokens.
        credentials: TLS credentials; None for plaintext.
        algorithm: The signature algorithm of tokens: RS512, which is also the service's default, RS256 or ES256.

    Attributes:
        identity_pool_id: The pool.
        developer_provider_name: The pool's developer provider.
        requests: The request messages, in the order of their calls, including retries.
    """

    def __init__(
        self,
        *,
        identity_pool_id: str = "local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21",
        developer_provider_name: str = "login.example.internal",
        clock: Clock | None = None,
        credentials: grpc.ServerCredentials | None = None,
        algorithm: FakeAlgorithm = "RS512",
    ) -> None:
        self.identity_pool_id = identity_pool_id
        self.developer_provider_name = developer_provider_name
        self.requests: list[Message] = []
        self._operations = FakeOperations(
            identity_pool_id,
            developer_provider_name,
            "https://tokend.example.internal",
            clock or SystemClock(),
            FakeSigner(algorithm),
        )
        self._issuer: FakeIssuer | None = None
        self._credentials = credentials
        self._changed = threading.Condition()
        self._failure: Failure | None = None
        self._next_failures: deque[Failure] = deque()
        self._calls: Counter[str] = Counter()
        self._paused = False
        self._port = 0
        self._server: grpc.Server | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._issuer is not None:
            self._issuer.close()

    @property
    def issuer(self) -> str:
        """The `iss` of its tokens. No server listens there before `serve_issuer`."""
        return self._operations.issuer

    def serve_issuer(self) -> str:
        """Serves the discovery document and the keys over HTTP on the loopback, until the context manager exits.

        Returns:
            The issuer's URL, which is the `iss` of tokens from then on.
        """
        if self._issuer is None:
            self._issuer = FakeIssuer(lambda: self.jwks, self._operations.signer.algorithm)
            self._operations.issuer = self._issuer.url
        return self.issuer

    @property
    def endpoint(self) -> str:
        """HOST:PORT, the same after `stop` and `start`."""
        return f"127.0.0.1:{self._port}"

    @property
    def jwks(self) -> str:
        """The JWK Set (RFC 7517, section 5) of its tokens, as JSON."""
        return self._operations.signer.jwks

    def rotate_key(self) -> None:
        """Makes the server sign with a new key. Earlier keys stay in `jwks`."""
        self._operations.signer.rotate()

    def start(self) -> None:
        """Starts serving, also after `stop`, which keeps identities and keys."""
        threads = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="fake-tokend")
        server = grpc.server(threads, options=_OPTIONS)
        add_DeveloperIdentityServiceServicer_to_server(_Servicer(self._serve, self._operations), server)
        server.add_generic_rpc_handlers((health_handler(),))
        if self._credentials:
            self._port = server.add_secure_port(self.endpoint, self._credentials)
        else:
            self._port = server.add_insecure_port(self.endpoint)
        server.start()
        self._server = server

    def stop(self) -> None:
        """Stops serving like a service that has crashed: connections are closed, and calls in flight fail."""
        if self._server is not None:
            stopped = self._server.stop(None)
            self.resume()
            stopped.wait()
            self._server = None

    def fail(self, failure: Failure) -> None:
        """Makes all calls fail until `recover`."""
        self._failure = failure

    def fail_next(self, failure: Failure) -> None:
        """Makes the next call fail. Several of these failures apply to one call each, in order."""
        self._next_failures.append(failure)

    def recover(self) -> None:
        """Cancels `fail` and `fail_next`."""
        self._failure = None
        self._next_failures.clear()

    def pause(self) -> None:
        """Makes calls wait until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Ends `pause`: waiting calls continue."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def calls(self, operation: str) -> int:
        """Returns how many calls of an operation, such as `LookupDeveloperIdentity`, arrived, including retries."""
        return self._calls[operation]

    def wait_for_calls(self, count: int, timeout: float = 30.0) -> None:
        """Waits until it has received this many calls since its creation.

        Raises:
            TimeoutError: It received fewer calls within `timeout` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= count, timeout):
                raise TimeoutError(f"{len(self.requests)} of {count} calls arrived")

    def _serve(self, answer: Callable[[Any], Message], request: Message, context: grpc.ServicerContext) -> Message:
        with self._changed:
            self.requests.append(request)
            self._calls[type(request).__name__.removesuffix("Request")] += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._paused)
            failure = self._next_failures.popleft() if self._next_failures else self._failure
        outcome = failure or _outcome(answer, request)
        if isinstance(outcome, Failure):
            if outcome.hangs:
                _wait_until_ended(context)
            abort(context, outcome)
        return outcome


def _wait_until_ended(context: grpc.ServicerContext) -> None:
    ended = threading.Event()
    if context.add_callback(ended.set):
        ended.wait()


def _outcome(answer: Callable[[Any], Message], request: Message) -> Message | Failure:
    try:
        return answer(request)
    except Refused as refused:
        return refused.failure


class _Servicer(DeveloperIdentityServiceServicer):
    def __init__(self, serve: Callable[..., Any], operations: FakeOperations) -> None:
        self._serve = serve
        self._operations = operations

    def GetOpenIdTokenForDeveloperIdentity(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401, N802
        return self._serve(self._operations.get_open_id_token, request, context)

    def LookupDeveloperIdentity(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401, N802
        return self._serve(self._operations.lookup, request, context)

    def MergeDeveloperIdentities(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401, N802
        return self._serve(self._operations.merge, request, context)

    def UnlinkDeveloperIdentity(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401, N802
        return self._serve(self._operations.unlink, request, context)
