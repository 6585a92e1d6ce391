"""Makes the audit entry of a call."""

from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from tokend_server.access.audit.record import AuditedRequest, AuditedResult, AuditEntry
from tokend_server.rpc.call import Call
from tokend_server.rpc.operations import OPERATIONS


class Failure(NamedTuple):
    """The failure of a call: the name of its status code, the reason, and the text for the caller."""

    code: str | None = None
    reason: str | None = None
    text: str | None = None


NO_FAILURE = Failure()


_NO_REQUEST = AuditedRequest()
_NO_RESULT = AuditedResult()


def audit_entry(call: Call, event_time: float, failure: Failure = NO_FAILURE) -> AuditEntry:
    """Returns the entry of a call with all that is known of it, whether or not its request was valid."""
    asked, found = call.audited or _audited(call)
    return AuditEntry(
        event_time,
        call.method,
        call.caller,
        call.authenticator,
        _address(call.source),
        call.user_agent,
        asked,
        call.request_id,
        call.trace_id,
        found,
        call.policy,
        call.mapping,
        call.token_source,
        *failure,
    )


def _audited(call: Call) -> tuple[AuditedRequest, AuditedResult]:
    operation = OPERATIONS.get(call.method)
    if operation is None:  # a call of another API that ended before its request was read
        return _NO_REQUEST, _NO_RESULT
    return (
        _NO_REQUEST if call.request is None else operation.audited_request(call.request),
        _NO_RESULT if call.result is None else operation.audited_result(call.result),
    )


@lru_cache(1024)
def _address(peer: str) -> str:
    """Returns the address without the port of a gRPC peer such as `ipv4:10.0.0.1:50000`; `unix` for a unix socket."""
    family, _, address = peer.partition(":")
    return family if family == "unix" else unquote(address.rpartition(":")[0]).strip("[]")
