"""The context of the current call, for logs, traces and the audit log."""

from contextvars import ContextVar
from dataclasses import dataclass, field

from tokend_server.access.audit.record import AuditedRequest, AuditedResult
from tokend_server.access.authentication.presented import PresentedCredentials
from tokend_server.errors import TokendError


@dataclass(slots=True)
class Call:
    """The context of a call, from its first layer to its end.

    Attributes:
        method: The name of its operation, or of its method if it has no operation.
        request_id: The id that a proxy set, or a new one.
        trace_id: The id of its trace (W3C Trace Context), if it has one.
        source: Its peer, as gRPC names it.
        user_agent: The user agent of the client.
        metadata_bytes: The size of its metadata, as HTTP/2 defines it.
        presented: The credentials that it presents.
        caller: The name of the caller; empty until it is known.
        authenticator: The authenticator that identified the caller, such as `mutual_tls`.
        policy: The name of the policy row that allows it.
        request: The message of the contract, once it has been received.
        result: The result of its operation, once there is one.
        region: The AWS Region that its request was signed for; empty if it was not signed.
        audited: The audit entry's request and result, if they are set without `request` and `result`.
        failure: The failure of its operation, if the response reports it instead of the call's status.
        mapping: The setting that mapped a proxy's request to the operation.
        token_source: The source of a token that may be reused.
        intent_recorded: Whether the audit log has an entry about the intended change.
    """

    method: str
    request_id: str
    trace_id: str | None = None
    source: str = ""
    user_agent: str = ""
    metadata_bytes: int = 0
    presented: PresentedCredentials = field(default_factory=PresentedCredentials, repr=False)
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
    intent_recorded: bool = False


#: The call that the current thread works on. gRPC runs every call in its own context.
CURRENT_CALL: ContextVar[Call | None] = ContextVar("CURRENT_CALL", default=None)


def current_call() -> Call:
    """Returns the call that the current thread works on.

    Raises:
        LookupError: It works on no call.
    """
    call = CURRENT_CALL.get()
    if call is None:
        raise LookupError("there is no current call")
    return call
