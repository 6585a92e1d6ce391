"""The token on calls to other services."""

from concurrent.futures import Future
from functools import partial
from typing import Protocol

import grpc

from tokend_client.errors import TokendError
from tokend_client.model import Token


class _Source(Protocol):
    def token_future(self) -> Future[Token]: ...


class TokenAuthMetadataPlugin(grpc.AuthMetadataPlugin):
    """Sends the source's token with each call, as `authorization: Bearer TOKEN` (RFC 6750, section 2.1).

    It never blocks: without a token, the call continues when the refresh has ended. If the refresh fails, the call
    fails.

    Args:
        source: A `TokenSource` or an `AsyncTokenSource`.
    """

    def __init__(self, source: _Source) -> None:
        self._source = source

    def __call__(self, context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback) -> None:
        del context
        self._source.token_future().add_done_callback(partial(_deliver, callback))


def token_call_credentials(source: _Source) -> grpc.CallCredentials:
    """Returns credentials for `grpc.composite_channel_credentials`, or for the `credentials` of a call.

    gRPC sends them over TLS and, with `grpc.local_channel_credentials`, within the machine. On an insecure channel, the
    call fails with UNAUTHENTICATED.
    """
    return grpc.metadata_call_credentials(TokenAuthMetadataPlugin(source), name="tokend")


def check_https(scheme: str, *, plaintext: bool) -> None:
    """Raises unless the token may be sent over this scheme.

    Raises:
        TokendError: The scheme is not https, and plaintext is not allowed. The code is UNAUTHENTICATED.
    """
    if scheme != "https" and not plaintext:
        raise TokendError(
            f"The token is not sent over {scheme}: use https, or set plaintext=True.", grpc.StatusCode.UNAUTHENTICATED
        )


def _deliver(callback: grpc.AuthMetadataPluginCallback, future: Future[Token]) -> None:
    error = future.exception()
    if error is None:
        callback((("authorization", f"Bearer {future.result().value}"),), None)
    else:
        callback((), error if isinstance(error, Exception) else RuntimeError(type(error).__name__))
