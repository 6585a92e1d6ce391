"""The token on requests of the library requests. Requires the extra `requests`."""

from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from tokend_client.arguments import check_positive
from tokend_client.auth import check_https
from tokend_client.model import Token
from tokend_client.source import TokenSource


class RequestsTokenAuth(AuthBase):
    """Sends the source's token with each request of a `requests.Session`, as `Authorization: Bearer TOKEN`.

    A request fails with the `TokendError` if there is no token. When the service responds with 401, the token is
    dropped, and the request is retried once with a new one, unless its body is a stream. The library removes the token
    from requests that are redirected to another host.

    Args:
        source: The source of the tokens.
        timeout: Seconds that a request may wait for the token; the session's own timeout is not available here.
        plaintext: Also send the token over http, where anyone who can read the traffic gets it. By default, such a
            request fails with a `TokendError` and is not sent.

    Raises:
        ValueError: `timeout` is not positive.
    """

    def __init__(self, source: TokenSource, *, timeout: float = 5.0, plaintext: bool = False) -> None:
        check_positive(timeout, "timeout")
        self._source = source
        self._timeout = timeout
        self._plaintext = plaintext

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        check_https(urlsplit(request.url or "").scheme, plaintext=self._plaintext)
        attached = _Attached(self._source.token(self._timeout))
        request.headers["Authorization"] = attached.authorization
        request.register_hook("response", partial(self._on_response, attached))
        return request

    def _on_response(self, attached: "_Attached", response: requests.Response, **settings: Any) -> requests.Response:  # noqa: ANN401 - the arguments of the adapter
        rejected = response.request.headers.get("Authorization") == attached.authorization
        if response.status_code != requests.codes.unauthorized or not rejected:
            return response
        self._source.invalidate(attached.token.value)
        if not isinstance(response.request.body, str | bytes | None):
            return response
        # The connection can be reused once the response is read.
        response.content  # noqa: B018 - a property that reads
        response.close()
        attached.token = self._source.token(self._timeout)
        return _resend(response, attached.authorization, settings)


@dataclass
class _Attached:
    """The token of a request and its redirects."""

    token: Token

    @property
    def authorization(self) -> str:
        return f"Bearer {self.token.value}"


def _resend(response: requests.Response, authorization: str, settings: dict[str, Any]) -> requests.Response:
    request = response.request.copy()
    request.headers["Authorization"] = authorization
    repeated = response.connection.send(request, **settings)
    repeated.history.append(response)
    repeated.request = request
    # For a redirect, requests copies the headers of the first request.
    response.request.headers["Authorization"] = authorization
    return repeated
