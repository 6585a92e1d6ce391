"""The call that is being worked on: what logs, traces and the audit log tell of it."""

from contextvars import ContextVar
from dataclasses import dataclass, field

from tokend_server.access.audit.record import AuditedRequest, AuditedResult
from tokend_server.access.authentication.presented import Presented
from tokend_server.errors import TokendError


@dataclass(slots=True)
class Call:
    """One call, from its first layer to its end.

    Attributes:
        method: The name of the operation that it is for, else of its method.
        request_id: The id that a proxy gave it, else a new one.
        trace_id: The id of the trace that it belongs to (W3C Trace Context), if it belongs to one.
        source: The address that it came from, as gRPC writes it.
        user_agent: What the caller's software calls itself.
        metadata_bytes: The size of its metadata, as HTTP/2 counts it.
        presented: What it shows of its caller.
        caller: Who calls; empty until that is known.
        authenticator: What said so, such as `mutual_tls`.
        policy: The name of the policy row that lets it through.
        request: The message of the contract, once it is there.
        result: What its operation came to, once it has.
        region: The AWS Region that its request was signed for; empty where it was not.
        audited: What the audit log has of its request and of the result, where that is known without the two.
        failure: Why its operation failed, where the answer says so rather than the call's status.
        mapping: By what the configuration made the operation of a proxy's request.
        token_source: Where the token came from, of those that are given out again.
        is_announced: The audit log has a line about what it is going to change.
    """

    method: str
    request_id: str
    trace_id: str | None = None
    source: str = ""
    user_agent: str = ""
    metadata_bytes: int = 0
    presented: Presented = field(default_factory=Presented, repr=False)
    caller: str = ""
    authenticator: str = ""
    policy: str | None = None
    request: object = field(default=None, repr=False)
    result: object = field(default=None, repr=False)
    region: str = ""
    audited: tuple[AuditedRequest, AuditedResult] | None = None
    failure: TokendError | None = field(default=None, repr=False)
    mapping: str | None = None
    token_source: str | None = None
    is_announced: bool = False


#: The call that the current thread works on. gRPC gives every call a context of its own.
CURRENT_CALL: ContextVar[Call | None] = ContextVar("CURRENT_CALL", default=None)


def current_call() -> Call:
    """The call that the current thread works on.

    Raises:
        LookupError: It works on none.
    """
    call = CURRENT_CALL.get()
    if call is None:
        raise LookupError("no call is being worked on")
    return call
