"""ASGI middleware that requires a valid token."""

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, TypeAlias

from tokend_client.verifier.authorization import TokenMissing, bearer_token
from tokend_client.verifier.identity import use_identity
from tokend_client.verifier.rejections import KeysUnavailable, NotVerified
from tokend_client.verifier.token_verifier import TokenVerifier

_Message: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Message]]
_Send: TypeAlias = Callable[[_Message], Awaitable[None]]
_App: TypeAlias = Callable[[_Message, _Receive, _Send], Awaitable[None]]

_REJECTION_EXTENSION = "websocket.http.response"
_POLICY_VIOLATION = 1008
_RETRY_AFTER = b"1"


class IdentityMiddleware:
    """Accepts requests and WebSockets with a valid bearer token. Responds to others with 401, or with 503 without keys.

    The application gets the caller from `current_identity()`, or from the scope as `tokend.identity`.

    Args:
        app: The ASGI application.
        verifier: Verifies the tokens.
        open_paths: Exact paths that require no token, such as those of probes. Their requests have no identity.
    """

    def __init__(self, app: _App, verifier: TokenVerifier, *, open_paths: Collection[str] = ()) -> None:
        self._app = app
        self._verifier = verifier
        self._open_paths = frozenset(open_paths)

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        if scope["type"] not in {"http", "websocket"} or scope["path"] in self._open_paths:
            await self._app(scope, receive, send)
            return
        values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
        try:
            identity = await self._verifier.verify_async(bearer_token(values))
        except NotVerified as error:
            await _reject(scope, send, error)
            return
        with use_identity(identity):
            await self._app({**scope, "tokend.identity": identity}, receive, send)


async def _reject(scope: _Message, send: _Send, error: NotVerified) -> None:
    if scope["type"] == "http":
        prefix = ""
    elif _REJECTION_EXTENSION in scope.get("extensions", {}):
        prefix = "websocket."
    else:
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": str(error)})
        return
    status, header = _status_and_header(error)
    body = f"{error}\n".encode()
    headers = [header, (b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": f"{prefix}http.response.start", "status": status, "headers": headers})
    await send({"type": f"{prefix}http.response.body", "body": body})


def _status_and_header(error: NotVerified) -> tuple[int, tuple[bytes, bytes]]:
    if isinstance(error, KeysUnavailable):
        return 503, (b"retry-after", _RETRY_AFTER)
    if isinstance(error, TokenMissing):
        return 401, (b"www-authenticate", b"Bearer")
    challenge = f'Bearer error="invalid_token", error_description="{error}"'
    return 401, (b"www-authenticate", challenge.encode())
