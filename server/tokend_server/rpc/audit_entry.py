"""The audit log's entry of a call."""

from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from tokend_server.access.audit.record import AuditedRequest, AuditedResult, AuditEntry
from tokend_server.rpc.call import Call
from tokend_server.rpc.operations import OPERATIONS


class Failure(NamedTuple):
    """How a call failed: the name of its status code, the reason, and the text that the caller gets."""

    code: str | None = None
    reason: str | None = None
    text: str | None = None


NO_FAILURE = Failure()


_NO_REQUEST = AuditedRequest()
_NO_RESULT = AuditedResult()


def audit_entry(call: Call, event_time: float, failure: Failure = NO_FAILURE) -> AuditEntry:
    """All that is known of a call, whether or not its request was within its limits."""
    asked, found = call.audited or _audited(call)
    return AuditEntry(
        event_time,
        call.method,
        call.caller,
        call.authenticator,
        _address(call.source),
        call.user_agent,
        *asked,
        call.request_id,
        call.trace_id,
        *found,
        call.policy,
        call.mapping,
        call.token_source,
        *failure,
    )


def _audited(call: Call) -> tuple[AuditedRequest, AuditedResult]:
    operation = OPERATIONS.get(call.method)
    if operation is None:  # a call of another operation that has ended before its request was known
        return _NO_REQUEST, _NO_RESULT
    return (
        _NO_REQUEST if call.request is None else operation.audited_request(call.request),
        _NO_RESULT if call.result is None else operation.audited_result(call.result),
    )


@lru_cache(1024)
def _address(peer: str) -> str:
    """The address without its port of what gRPC calls a peer, such as `ipv4:10.0.0.1:50000`; `unix` for a socket."""
    family, _, address = peer.partition(":")
    return family if family == "unix" else unquote(address.rpartition(":")[0]).strip("[]")
