"""The token on requests of httpx. Requires the extra `httpx`."""

from collections.abc import AsyncGenerator, Generator

import httpx

from tokend_client.async_source import AsyncTokenSource
from tokend_client.auth import check_https
from tokend_client.model import Token
from tokend_client.source import TokenSource


class HttpxTokenAuth(httpx.Auth):
    """Sends the source's token with each request of an `httpx.Client`, as `Authorization: Bearer TOKEN`.

    A request waits for the token, at most for httpx's read timeout, and fails with the `TokendError` if there is
    none. When the service responds with 401, the token is dropped, and the request is retried once with a new one,
    unless its content is a stream. httpx removes the token from requests that are redirected to another origin.

    Args:
        source: The source of the tokens.
        plaintext: Also send the token over http, where anyone who can read the traffic gets it. By default, such a
            request fails with a `TokendError` and is not sent.
    """

    def __init__(self, source: TokenSource, *, plaintext: bool = False) -> None:
        self._source = source
        self._plaintext = plaintext

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """As httpx asks for it."""
        check_https(request.url.scheme, plaintext=self._plaintext)
        timeout = _read_timeout(request)
        issued = self._source.token(timeout)
        response = yield _with_token(request, issued)
        if _rejects(response, issued):
            self._source.invalidate(issued.value)
            if _is_repeatable(request):
                yield _with_token(request, self._source.token(timeout))


class AsyncHttpxTokenAuth(httpx.Auth):
    """`HttpxTokenAuth` for an `httpx.AsyncClient`."""

    def __init__(self, source: AsyncTokenSource, *, plaintext: bool = False) -> None:
        self._source = source
        self._plaintext = plaintext

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """As httpx asks for it."""
        check_https(request.url.scheme, plaintext=self._plaintext)
        timeout = _read_timeout(request)
        issued = await self._source.token(timeout)
        response = yield _with_token(request, issued)
        if _rejects(response, issued):
            self._source.invalidate(issued.value)
            if _is_repeatable(request):
                yield _with_token(request, await self._source.token(timeout))


def _with_token(request: httpx.Request, issued: Token) -> httpx.Request:
    request.headers["authorization"] = _authorization(issued)
    return request


def _rejects(response: httpx.Response, issued: Token) -> bool:
    """Returns whether the token was rejected. After a redirect to another origin, the request has no token."""
    seen = response.request.headers.get("authorization") == _authorization(issued)
    return response.status_code == httpx.codes.UNAUTHORIZED and seen


def _authorization(issued: Token) -> str:
    return f"Bearer {issued.value}"


def _read_timeout(request: httpx.Request) -> float | None:
    seconds: float | None = request.extensions.get("timeout", {}).get("read")
    return seconds


def _is_repeatable(request: httpx.Request) -> bool:
    return isinstance(request.stream, httpx.ByteStream)
