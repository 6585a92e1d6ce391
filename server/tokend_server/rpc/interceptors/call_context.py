"""The layer that makes a `Call` from a call's metadata, and the check of their size."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from types import MappingProxyType
from typing import Any

import grpc

from tokend_server.access.authentication.presented import PresentedCredentials
from tokend_server.clock import Clock
from tokend_server.errors import MetadataTooLarge
from tokend_server.model import Secret
from tokend_server.rpc.call import CURRENT_CALL, Call
from tokend_server.rpc.interceptors.layers import Behavior, Check, Layer, Method
from tokend_server.rpc.trace_context import trace_id_of

#: The overhead of a header field in HTTP/2, which counts towards its size (RFC 9113, section 6.5.2).
FIELD_OVERHEAD = 32

_REQUEST_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)

_READ = frozenset({"authorization", "traceparent", "user-agent", "x-forwarded-client-cert", "x-request-id"})


_UNNAMED = ("",)

#: Seconds (about 30 years) above which a caller has no deadline: without a deadline, gRPC reports 10^18 or more.
_MAX_WAIT = 10**9


def setting_call_context(  # noqa: PLR0913 - the sources of a call's context
    new_id: Callable[[], str],
    current_trace_id: Callable[[], str | None],
    clock: Clock,
    *,
    unix_socket: bool,
    max_bytes: int,
    operations: Mapping[str, str] = MappingProxyType({}),
) -> Layer:
    """Returns a layer that makes a call's context available to logs, traces, metrics and the audit log.

    Args:
        new_id: Generates the id of a call that has no id from a proxy.
        current_trace_id: Returns the trace of a call if calls are traced; if not, the caller's `traceparent` is used.
        clock: Measures deadlines.
        unix_socket: Whether the listener is a unix socket.
        max_bytes: The number of bytes of metadata after which no more are read.
        operations: The operations that additional services' methods attempt, by the paths of the methods.
    """

    def layer(method: Method, behavior: Behavior) -> Behavior:
        operation = operations.get(method.path, method.name)

        @wraps(behavior)
        def begun(request: Any, context: grpc.ServicerContext, *rest: Any) -> Any:  # noqa: ANN401 - as grpc calls it
            size = 0
            read: dict[str, list[str]] = {}
            for key, value in context.invocation_metadata():
                size += len(key) + len(value) + FIELD_OVERHEAD
                if size > max_bytes:
                    break
                if key in _READ and isinstance(value, str):
                    read.setdefault(key, []).append(value)
            left = context.time_remaining()
            call = Call(
                method=operation,
                request_id=(_proxy_request_id(read["x-request-id"]) if "x-request-id" in read else None) or new_id(),
                trace_id=current_trace_id() or (_trace_id(read["traceparent"]) if "traceparent" in read else None),
                source=context.peer(),
                user_agent=read.get("user-agent", _UNNAMED)[0],
                metadata_bytes=size,
                presented=PresentedCredentials(
                    (),
                    (),
                    unix_socket,
                    tuple(map(Secret, read["authorization"])) if "authorization" in read else (),
                    tuple(read["x-forwarded-client-cert"]) if "x-forwarded-client-cert" in read else (),
                    math.inf if left > _MAX_WAIT else clock.monotonic() + left,
                ),
            )
            # gRPC gives every call its own context, so the variable need not be reset.
            CURRENT_CALL.set(call)
            return behavior(request, context, *rest)

        return begun

    return layer


def limiting_metadata(max_bytes: int) -> Callable[[Method], Check]:
    """Returns the check of metadata's size: gRPC enforces its own limit only once the client acknowledges SETTINGS."""

    def check(call: Call, _context: grpc.ServicerContext) -> None:
        if call.metadata_bytes > max_bytes:
            raise MetadataTooLarge(f"The metadata of a call may have at most {max_bytes} bytes.")

    return lambda _method: check


def _proxy_request_id(given: Sequence[str]) -> str | None:
    """Returns the request id that a proxy set; None if it is not valid."""
    return given[0] if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]) else None


def _trace_id(given: Sequence[str]) -> str | None:
    """Returns the id of the trace in the caller's `traceparent`; None if it is not valid."""
    return trace_id_of(given[0]) if len(given) == 1 else None
