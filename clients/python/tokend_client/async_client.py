"""The asyncio client. `Client` documents the behavior of both."""

import asyncio
import copy
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Self, TypeVar

import grpc
from opentelemetry.metrics import MeterProvider

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub
from tokend_client import forks, messages
from tokend_client.arguments import check_positive
from tokend_client.attempts import SecondAttempt, attempt_timeouts
from tokend_client.bearer import BearerToken
from tokend_client.channel import DEFAULT_TIMEOUT, Options, channel_credentials, channel_options
from tokend_client.errors import Closed, Forked
from tokend_client.model import LookupResult, Token, TokenRequest
from tokend_client.one_loop import OneLoop
from tokend_client.shared import Shared
from tokend_client.status import to_error
from tokend_client.telemetry import Telemetry
from tokend_client.turns import REFRESHES_AT_A_TIME

_Response = TypeVar("_Response")


class AsyncClient:
    """A client of one tokend service for one event loop, in which it must be created and used.

    Arguments, operations and errors are those of `Client`; interceptors are those of `grpc.aio`.
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
        interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
    ) -> None:
        check_positive(timeout, "timeout")
        secured = channel_credentials(target, credentials, bearer_token, plaintext=plaintext)
        arguments = channel_options(options)
        self._channel = (
            grpc.aio.secure_channel(target, secured, arguments, interceptors=interceptors)
            if secured
            else grpc.aio.insecure_channel(target, arguments, interceptors=interceptors)
        )
        self._stub = DeveloperIdentityServiceStub(self._channel)
        self._timeout = timeout
        self._closed: Closed | None = None
        self._loop = OneLoop(type(self).__name__)
        self.shared = Shared(Telemetry(meter_provider))
        self.turns = asyncio.Semaphore(REFRESHES_AT_A_TIME)
        forks.register(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection; calls in flight fail."""
        if self._closed is None:
            self._closed = Closed()
            await self._channel.close()

    def after_fork(self) -> None:
        """As `Client.after_fork`."""
        self._closed = Forked()

    async def get_open_id_token_for_developer_identity(  # noqa: PLR0913 - the fields of the request
        self,
        *,
        identity_pool_id: str,
        logins: Mapping[str, str],
        identity_id: str | None = None,
        principal_tags: Mapping[str, str] | None = None,
        token_duration: timedelta | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - it is sent to the service as the call's deadline
    ) -> Token:
        """As `Client.get_open_id_token_for_developer_identity`."""
        request = TokenRequest(
            identity_pool_id=identity_pool_id,
            logins=logins,
            identity_id=identity_id,
            principal_tags=principal_tags or {},
            token_duration=token_duration,
        )
        return await self.get_token(request, timeout=timeout)

    async def get_token(
        self,
        request: TokenRequest,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as above
    ) -> Token:
        """As `Client.get_token`."""
        call = self._stub.GetOpenIdTokenForDeveloperIdentity
        return messages.token(await self._call(call, messages.token_request(request), timeout, SecondAttempt.PAIR))

    async def lookup_developer_identity(  # noqa: PLR0913 - the fields of the request
        self,
        *,
        identity_pool_id: str,
        identity_id: str | None = None,
        developer_user_identifier: str | None = None,
        max_results: int | None = None,
        next_token: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as above
    ) -> LookupResult:
        """As `Client.lookup_developer_identity`."""
        request = pb.LookupDeveloperIdentityRequest(
            identity_pool_id=identity_pool_id,
            identity_id=identity_id or "",
            developer_user_identifier=developer_user_identifier or "",
            max_results=max_results or 0,
            next_token=next_token or "",
        )
        return messages.lookup_result(
            await self._call(self._stub.LookupDeveloperIdentity, request, timeout, SecondAttempt.PAIR)
        )

    async def merge_developer_identities(
        self,
        *,
        identity_pool_id: str,
        developer_provider_name: str,
        source_user_identifier: str,
        destination_user_identifier: str,
        timeout: float | None = None,  # noqa: ASYNC109 - as above
    ) -> str:
        """As `Client.merge_developer_identities`."""
        request = pb.MergeDeveloperIdentitiesRequest(
            identity_pool_id=identity_pool_id,
            developer_provider_name=developer_provider_name,
            source_user_identifier=source_user_identifier,
            destination_user_identifier=destination_user_identifier,
        )
        response = await self._call(self._stub.MergeDeveloperIdentities, request, timeout, SecondAttempt.ONE)
        return response.identity_id

    async def unlink_developer_identity(
        self,
        *,
        identity_pool_id: str,
        identity_id: str,
        developer_provider_name: str,
        developer_user_identifier: str,
        timeout: float | None = None,  # noqa: ASYNC109 - as above
    ) -> None:
        """As `Client.unlink_developer_identity`."""
        request = pb.UnlinkDeveloperIdentityRequest(
            identity_pool_id=identity_pool_id,
            identity_id=identity_id,
            developer_provider_name=developer_provider_name,
            developer_user_identifier=developer_user_identifier,
        )
        await self._call(self._stub.UnlinkDeveloperIdentity, request, timeout, SecondAttempt.NONE)

    async def _call(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[Any, _Response]",
        request: object,
        timeout: float | None,  # noqa: ASYNC109 - as above
        second: SecondAttempt,
    ) -> _Response:
        timeouts = attempt_timeouts(self._timeout if timeout is None else timeout, second)
        try:
            return await self._attempt(method, request, next(timeouts))
        except grpc.RpcError as failed:
            following = next(timeouts, None) if failed.code() is grpc.StatusCode.DEADLINE_EXCEEDED else None
            if following is None:
                raise to_error(failed) from failed
        attempts = [asyncio.create_task(self._attempt(method, request, following)) for _ in range(second)]
        try:
            return await _first_successful(attempts)
        except grpc.RpcError as failed:
            raise to_error(failed) from failed
        finally:
            for attempt in attempts:
                attempt.cancel()
            await asyncio.gather(*attempts, return_exceptions=True)

    async def _attempt(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[Any, _Response]",
        request: object,
        timeout: float,  # noqa: ASYNC109 - as above
    ) -> _Response:
        if self._closed:
            raise copy.copy(self._closed)
        self._loop.check()
        try:
            return await method(request, timeout=timeout)
        except asyncio.CancelledError:
            if self._was_closed_meanwhile():
                raise Closed from None
            raise

    def _was_closed_meanwhile(self) -> bool:
        # Closing a channel cancels its calls, which must not look like a cancellation of the caller.
        task = asyncio.current_task()
        return self._closed is not None and task is not None and not task.cancelling()


async def _first_successful(attempts: "list[asyncio.Task[_Response]]") -> _Response:
    """Returns the first response, or the failure of the last attempt."""
    pending = set(attempts)
    while pending:
        ended, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for attempt in ended:
            if not attempt.cancelled() and attempt.exception() is None:
                return attempt.result()
    return attempts[-1].result()
