import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Self

import grpc
from google.protobuf.message import Message

from tokend.v1.developer_identity_service_pb2_grpc import (
    DeveloperIdentityServiceServicer,
    add_DeveloperIdentityServiceServicer_to_server,
)
from tokend_client.clock import Clock, SystemClock
from tokend_client.errors import ErrorReason, FieldViolation, Resource
from tokend_client.testing.failures import Failure, abort
from tokend_client.testing.health import health_handler
from tokend_client.testing.issuer import FakeIssuer
from tokend_client.testing.operations import FakeOperations
from tokend_client.testing.signer import FakeAlgorithm, FakeSigner

#: More than the calls at once and the clients that a test has: each of them takes one.
_THREADS = 128

#: Clients may ping as often as they like, as at the service.
_OPTIONS = (
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1),
    ("grpc.http2.max_ping_strikes", 0),
)


class FakeTokendServer:
    """A tokend service with one pool, on a free port of the loopback while it is entered as a context manager.

    It remembers who is who as the service does, and its tokens verify with `jwks`. Limits of lengths are not checked.

    Args:
        identity_pool_id: The pool.
        developer_provider_name: The pool's developer provider.
        clock: What dates its tokens.
        credentials: Speak TLS.
        algorithm: What signs the tokens.

    Attributes:
        identity_pool_id: The pool.
        developer_provider_name: The pool's developer provider.
        requests: The request messages, in the order of their calls; a retry is a call.
    """

    def __init__(
        self,
        *,
        identity_pool_id: str = "local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21",
        developer_provider_name: str = "login.example.internal",
        clock: Clock | None = None,
        credentials: grpc.ServerCredentials | None = None,
        algorithm: FakeAlgorithm = "ES256",
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
        """The `iss` of its tokens. Nothing is served there before `serve_issuer`."""
        return self._operations.issuer

    def serve_issuer(self) -> str:
        """Serves the discovery document and the keys over HTTP on the loopback, until the server is left.

        Returns:
            The issuer's URL, which is the `iss` of tokens from now on.
        """
        if self._issuer is None:
            self._issuer = FakeIssuer(self.jwks, self._operations.signer.algorithm)
            self._operations.issuer = self._issuer.url
        return self.issuer

    @property
    def endpoint(self) -> str:
        """HOST:PORT, the same after `stop` and `start`."""
        return f"127.0.0.1:{self._port}"

    @property
    def jwks(self) -> str:
        """The JWK Set (RFC 7517, section 5) that its tokens verify with, as JSON."""
        return self._operations.signer.jwks

    def start(self) -> None:
        """Serves, after `stop` as well: identities and keys are kept."""
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
        """Ends as a service does that is gone: connections are closed, and calls in flight fail."""
        if self._server is not None:
            stopped = self._server.stop(None)
            self.resume()
            stopped.wait()
            self._server = None

    def fail(  # noqa: PLR0913 - the details that failures have
        self,
        reason: ErrorReason,
        *,
        text: str = "As the test wants it.",
        retry_delay: timedelta | None = None,
        violations: tuple[FieldViolation, ...] = (),
        resource: Resource | None = None,
        aws_request_id: str | None = None,
        request_id: str | None = None,
    ) -> None:
        """Lets all calls fail as the service does for a reason, until `recover`."""
        self._failure = Failure(
            reason,
            text,
            retry_delay=retry_delay,
            violations=violations,
            resource=resource,
            aws_request_id=aws_request_id,
            request_id=request_id,
        )

    def recover(self) -> None:
        """Answers again."""
        self._failure = None

    def pause(self) -> None:
        """Leaves calls without an answer until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Answers the calls that wait, and those to come."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def wait_for_calls(self, count: int, timeout: float = 30.0) -> None:
        """Waits until so many calls have come since it was made.

        Raises:
            TimeoutError: Fewer came within so many seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= count, timeout):
                raise TimeoutError(f"{len(self.requests)} of {count} calls came")

    def _serve(self, answer: Callable[[Any], Message], request: Message, context: grpc.ServicerContext) -> Message:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._paused)
        outcome = self._failure or _outcome(answer, request)
        if isinstance(outcome, Failure):
            abort(context, outcome)
        return outcome


def _outcome(answer: Callable[[Any], Message], request: Message) -> Message | Failure:
    try:
        return answer(request)
    except Failure as refused:
        return refused


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
