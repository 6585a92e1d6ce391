"""The synchronous client."""

import copy
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Self, TypeAlias, TypeVar

import grpc
from opentelemetry.metrics import MeterProvider

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub
from tokend_client import forks, messages
from tokend_client.arguments import check_positive
from tokend_client.attempts import Attempts, SecondAttempt, attempt_timeouts, first_successful
from tokend_client.bearer import BearerToken
from tokend_client.channel import DEFAULT_TIMEOUT, Options, channel_credentials, channel_options
from tokend_client.errors import Closed, Forked, TokendError, cannot_refresh
from tokend_client.model import LookupResult, Token, TokenRequest
from tokend_client.shared import Shared
from tokend_client.status import to_error
from tokend_client.telemetry import Telemetry
from tokend_client.turns import Turns

_Response = TypeVar("_Response")

_Outcome = TypeVar("_Outcome")

#: The outcome of a call.
Outcome: TypeAlias = Token | TokendError


class Client:
    """A client of one tokend service. It is thread-safe, and connects with its first call.

    It balances load, watches the service's health and retries calls where that is safe (`clients/README.md`).

    Args:
        target: `HOST:PORT`, `unix:PATH`, `dns:///HOST:PORT` or any other gRPC target.
        credentials: TLS credentials; None for `tls_credentials()`, which trusts the system's certificates.
        bearer_token: Authenticates calls: a file, such as a Kubernetes service account token, or a function. Each call
            reads the file again, or calls the function on a gRPC thread.
        plaintext: Disable TLS, so that logins and tokens are sent unencrypted: for this machine and for sidecars. A
            `bearer_token` is then not sent to other machines.
        timeout: The default timeout of a call with its retries, in seconds; positive.
        options: gRPC channel arguments, over the client's own.
        meter_provider: The OpenTelemetry meter provider; None for the global one.
        interceptors: gRPC interceptors, the outermost first.

    Attributes:
        shared: The state that its token sources share.
        turns: The queue of their refreshes.

    Raises:
        ValueError: `timeout` is not positive, or `plaintext` is combined with `credentials` or with a `bearer_token`
            for another machine.
        OSError: As `tls_credentials`.
    """

    def __init__(  # noqa: PLR0913 - each has its default
        self,
        target: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        bearer_token: BearerToken | None = None,
        plaintext: bool = False,
        timeout: float = DEFAULT_TIMEOUT,
        options: Options = (),
        meter_provider: MeterProvider | None = None,
        interceptors: Sequence[grpc.UnaryUnaryClientInterceptor] = (),
    ) -> None:
        check_positive(timeout, "timeout")
        secured = channel_credentials(target, credentials, bearer_token, plaintext=plaintext)
        arguments = channel_options(options)
        self._channel = (
            grpc.secure_channel(target, secured, arguments) if secured else grpc.insecure_channel(target, arguments)
        )
        self._stub = DeveloperIdentityServiceStub(grpc.intercept_channel(self._channel, *interceptors))
        self._timeout = timeout
        self._intercepted = bool(interceptors)
        self._closed: Closed | None = None
        self.shared = Shared(Telemetry(meter_provider))
        self.turns = Turns()
        forks.register(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; calls in flight fail."""
        if self._closed is None:
            self._closed = Closed()
            self._channel.close()

    def after_fork(self) -> None:
        """Leaves the connection to the parent process. Calls then fail with `Forked`."""
        self._closed = Forked()

    def get_open_id_token_for_developer_identity(  # noqa: PLR0913 - the fields of the request
        self,
        *,
        identity_pool_id: str,
        logins: Mapping[str, str],
        identity_id: str | None = None,
        principal_tags: Mapping[str, str] | None = None,
        token_duration: timedelta | None = None,
        timeout: float | None = None,
    ) -> Token:
        """Registers or retrieves a user's identity, and returns a new token for it.

        Args:
            identity_pool_id: REGION:GUID.
            logins: Provider names to the user's identifier or ID token there.
            identity_id: The identity to link the logins to; None finds or creates one.
            principal_tags: Session tags for the token.
            token_duration: The lifetime of the token, in whole seconds; None for 900 s.
            timeout: The timeout in seconds.

        Raises:
            TokendError: The call failed.
        """
        request = TokenRequest(
            identity_pool_id=identity_pool_id,
            logins=logins,
            identity_id=identity_id,
            principal_tags=principal_tags or {},
            token_duration=token_duration,
        )
        return self.get_token(request, timeout=timeout)

    def get_token(self, request: TokenRequest, *, timeout: float | None = None) -> Token:
        """As `get_open_id_token_for_developer_identity`, with a `TokenRequest`.

        Raises:
            TokendError: The call failed.
        """
        call = self._stub.GetOpenIdTokenForDeveloperIdentity
        return messages.token(self._call(call, messages.token_request(request), timeout, SecondAttempt.PAIR))

    def start_get_token(
        self, request: TokenRequest, timeout: float, done: Callable[[Outcome], object]
    ) -> Callable[[], object]:
        """As `get_token`, without waiting: for token sources.

        Args:
            request: The request.
            timeout: The timeout in seconds.
            done: Called once with the outcome, on this or another thread.

        Returns:
            A function that cancels the call.

        Raises:
            Closed: The client was closed.
        """
        method = self._stub.GetOpenIdTokenForDeveloperIdentity
        message = messages.token_request(request)

        def send(seconds: float) -> Any:  # noqa: ANN401 - a future and the status of its call in one
            with self._raise_if_closed():
                return method.future(message, timeout=seconds)

        def fail(error: Exception) -> None:
            done(cannot_refresh(error))

        attempts = Attempts(send, timeout, lambda ended: done(self._replace_if_closed(_outcome(ended))), fail)
        if self._intercepted:
            # Interceptors may wait for the call that they pass on, but this method must not wait.
            thread = threading.Thread(target=_start_attempts, args=(attempts, fail), name="tokend-refresh", daemon=True)
            thread.start()
        else:
            attempts.start()
        return attempts.cancel

    def lookup_developer_identity(  # noqa: PLR0913 - the fields of the request
        self,
        *,
        identity_pool_id: str,
        identity_id: str | None = None,
        developer_user_identifier: str | None = None,
        max_results: int | None = None,
        next_token: str | None = None,
        timeout: float | None = None,
    ) -> LookupResult:
        """Finds the identity of a user of the developer provider, or the users of an identity, page by page.

        Args:
            identity_pool_id: REGION:GUID.
            identity_id: The identity.
            developer_user_identifier: The user; at least one of the two is required.
            max_results: The maximum number of users on a page, 1 to 60; None for 60.
            next_token: The `next_token` of the previous page.
            timeout: The timeout in seconds.

        Raises:
            TokendError: The call failed.
        """
        request = pb.LookupDeveloperIdentityRequest(
            identity_pool_id=identity_pool_id,
            identity_id=identity_id or "",
            developer_user_identifier=developer_user_identifier or "",
            max_results=max_results or 0,
            next_token=next_token or "",
        )
        return messages.lookup_result(
            self._call(self._stub.LookupDeveloperIdentity, request, timeout, SecondAttempt.PAIR)
        )

    def merge_developer_identities(
        self,
        *,
        identity_pool_id: str,
        developer_provider_name: str,
        source_user_identifier: str,
        destination_user_identifier: str,
        timeout: float | None = None,
    ) -> str:
        """Moves all logins of the source user's identity to the destination user's, and disables the former.

        Returns:
            The identity id that both users now share.

        Raises:
            TokendError: The call failed.
        """
        request = pb.MergeDeveloperIdentitiesRequest(
            identity_pool_id=identity_pool_id,
            developer_provider_name=developer_provider_name,
            source_user_identifier=source_user_identifier,
            destination_user_identifier=destination_user_identifier,
        )
        return self._call(self._stub.MergeDeveloperIdentities, request, timeout, SecondAttempt.ONE).identity_id

    def unlink_developer_identity(
        self,
        *,
        identity_pool_id: str,
        identity_id: str,
        developer_provider_name: str,
        developer_user_identifier: str,
        timeout: float | None = None,
    ) -> None:
        """Unlinks a user from an identity. The user's next token request creates a new identity.

        Raises:
            TokendError: The call failed.
        """
        request = pb.UnlinkDeveloperIdentityRequest(
            identity_pool_id=identity_pool_id,
            identity_id=identity_id,
            developer_provider_name=developer_provider_name,
            developer_user_identifier=developer_user_identifier,
        )
        self._call(self._stub.UnlinkDeveloperIdentity, request, timeout, SecondAttempt.NONE)

    def _call(
        self,
        method: "grpc.UnaryUnaryMultiCallable[Any, _Response]",
        request: object,
        timeout: float | None,
        second: SecondAttempt,
    ) -> _Response:
        timeouts = attempt_timeouts(self._timeout if timeout is None else timeout, second)
        try:
            with self._raise_if_closed():
                return method(request, timeout=next(timeouts))
        except grpc.RpcError as failed:
            following = next(timeouts, None) if failed.code() is grpc.StatusCode.DEADLINE_EXCEEDED else None
            if following is None:
                raise self._replace_if_closed(to_error(failed)) from failed
        return self._call_again(method, request, following, second)

    def _call_again(
        self,
        method: "grpc.UnaryUnaryMultiCallable[Any, _Response]",
        request: object,
        timeout: float,
        second: SecondAttempt,
    ) -> _Response:
        try:
            with self._raise_if_closed():
                calls: list[Any] = [method.future(request, timeout=timeout) for _ in range(second)]
            response: _Response = first_successful(calls).result()
        except grpc.FutureCancelledError as cancelled:
            raise Closed from cancelled
        except grpc.RpcError as failed:
            raise self._replace_if_closed(to_error(failed)) from failed
        return response

    def _replace_if_closed(self, outcome: _Outcome) -> _Outcome | Closed:
        # Closing the channel cancels its calls: the status is not the service's.
        if self._closed and isinstance(outcome, TokendError) and outcome.code is grpc.StatusCode.CANCELLED:
            return copy.copy(self._closed)
        return outcome

    @contextmanager
    def _raise_if_closed(self) -> Iterator[None]:
        # With interceptors, a call on a closed channel crashes the process in grpcio 1.85: prevent it here.
        if self._closed:
            raise copy.copy(self._closed)
        try:
            yield
        except ValueError as error:
            # gRPC raises this for a channel that was just closed, but also for a request that cannot be sent.
            if self._closed:
                raise copy.copy(self._closed) from error
            raise


def _start_attempts(attempts: Attempts, fail: Callable[[Exception], None]) -> None:
    try:
        attempts.start()
    except Exception as error:  # noqa: BLE001 - whatever it is, those who wait have to get it
        fail(error)


def _outcome(call: Any) -> Outcome:  # noqa: ANN401 - a future and the status of its call in one
    try:
        return messages.token(call.result())
    except grpc.FutureCancelledError:
        return Closed()
    except grpc.RpcError as failed:
        return to_error(failed)
    except TokendError as broken:
        return broken
    except Exception as error:  # noqa: BLE001 - whatever it is, those who wait have to get it
        return TokendError(f"The response cannot be read: {type(error).__name__}", grpc.StatusCode.INTERNAL)
