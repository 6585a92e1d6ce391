"""The calls of streams, whose callers are identified, limited and recorded like those of other calls."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

from tokend_server.access.authentication.client_certificates import ClientCertificates
from tokend_server.access.build import AccessControl
from tokend_server.access.ids import UniqueIds
from tokend_server.clock import Clock
from tokend_server.config import Listener
from tokend_server.errors import TokendError
from tokend_server.failures import log_defect, log_failure
from tokend_server.mesh.tokens import MeshTokens
from tokend_server.mesh.wanted_token import WantedToken
from tokend_server.model import IssuedToken, Operation
from tokend_server.rpc.call import CURRENT_CALL, Call, current_call
from tokend_server.rpc.interceptors.audit import auditing
from tokend_server.rpc.interceptors.authentication import identifying_callers
from tokend_server.rpc.interceptors.call_context import limiting_metadata, setting_call_context
from tokend_server.rpc.interceptors.layers import Behavior, Layer, Method, checking, layered
from tokend_server.rpc.interceptors.rate_limits import limiting_rates
from tokend_server.rpc.policy import Rule

#: The timeout in seconds for identifying the caller of a stream, and for issuing a token.
_TIMEOUT = 10.0

_ISSUE_METHOD = Method(
    "tokend.v1.DeveloperIdentityService", Operation.GET_OPEN_ID_TOKEN_FOR_DEVELOPER_IDENTITY, "unary"
)


@dataclass(frozen=True, slots=True)
class StreamContext:
    """The properties of a stream from a context of grpcio, for use in any thread."""

    source: str
    metadata: Sequence[tuple[str, str | bytes]] = field(repr=False)
    properties: Mapping[str, Any] = field(repr=False)

    def peer(self) -> str:
        """Returns its peer."""
        return self.source

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]]:
        """Returns its metadata."""
        return self.metadata

    def auth_context(self) -> Mapping[str, Any]:
        """Returns the properties of its TLS connection."""
        return self.properties

    def time_remaining(self) -> float:
        """Returns a timeout for identifying the caller: a stream has no deadline."""
        return _TIMEOUT


def stream_context(context: Any) -> StreamContext:  # noqa: ANN401 - grpcio's own class is private
    """Returns the properties of a stream from a context of grpcio."""
    metadata = tuple((key, value) for key, value in context.invocation_metadata())
    return StreamContext(context.peer(), metadata, context.auth_context())


#: Identifies the caller of a stream; raises `TokendError` if the stream is refused.
Identify: TypeAlias = Callable[[StreamContext], Call]


def identifying_streams(  # noqa: PLR0913, PLR0917 - all their parts
    method: Method,
    rule: Rule,
    listener: Listener,
    access: AccessControl,
    certificates: ClientCertificates | None,
    learn: Callable[[Call], None],
    max_metadata_bytes: int,
    clock: Clock,
) -> tuple[Identify, Identify]:
    """Returns functions that identify the caller of a method's stream, and that check later that it is still the same.

    Both block if the rule requires an identity. The first counts as a call of the caller. `learn` is called with each
    call whose caller is identified.
    """
    rules = {method.path: rule}
    named: list[Layer] = [
        setting_call_context(
            UniqueIds(os.urandom),
            lambda: None,
            clock,
            unix_socket=listener.is_unix_socket,
            max_bytes=max_metadata_bytes,
        ),
        checking(
            limiting_metadata(max_metadata_bytes),
            identifying_callers(access.authenticators(listener), rules, certificates),
            lambda _method: lambda call, _context: learn(call),
        ),
    ]
    first = layered(method, lambda _request, _context: current_call(), [*named, limiting_rates(access.limits)])
    again = layered(method, lambda _request, _context: current_call(), named)
    return partial(_in_own_context, first), partial(_in_own_context, again)


def issuing_tokens(
    access: AccessControl, tokens: MeshTokens, clock: Clock
) -> Callable[[Call, str, WantedToken], IssuedToken]:
    """Returns a function that issues a secret's token to the caller of a stream, as a separate call."""
    new_id = UniqueIds(os.urandom)
    layers = [auditing(access.auditor, clock, {_ISSUE_METHOD.path: Rule.GRANT}), limiting_rates(access.limits)]
    behavior = layered(_ISSUE_METHOD, lambda wanted, _context: tokens.token_for(wanted)[0], layers)

    def issue(stream: Call, name: str, wanted: WantedToken) -> IssuedToken:
        call = replace(
            stream,
            method=_ISSUE_METHOD.name,
            request_id=new_id(),
            presented=stream.presented._replace(deadline_at=clock.monotonic() + _TIMEOUT),
            mapping=name,
        )
        CURRENT_CALL.set(call)
        try:
            issued: IssuedToken = behavior(wanted, None)
        except TokendError as error:
            log_failure(call.method, error)
            raise
        except Exception as error:
            log_defect(call.method, error, call.request_id)
            raise
        finally:
            CURRENT_CALL.set(None)
        return issued

    return issue


def _in_own_context(behavior: Behavior, context: StreamContext) -> Call:
    """Runs a behavior in a separate context, so that the thread keeps nothing of the call."""
    try:
        call: Call = behavior(None, context)
    finally:
        CURRENT_CALL.set(None)
    return call
