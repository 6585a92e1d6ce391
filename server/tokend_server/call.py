"""The call that is being worked on: what logs, traces and the audit log tell of it."""

from contextvars import ContextVar
from dataclasses import dataclass, field

from tokend_server.callers.presented import Presented
from tokend_server.model import NumericDate


@dataclass(slots=True)
class Facts:
    """What a call asked for and got, as far as it came; no login value, no token.

    Attributes:
        identity_pool_id: The pool that was asked for.
        identity_id: The identity that was asked for.
        provider_names: The `Logins` keys.
        developer_provider_name: The provider whose users were to be merged or unlinked.
        token_duration: Seconds that were asked for; None without a wish.
        principal_tag_keys: The keys of the tags that were asked for.
        policy: The name of the policy row that decided.
        result_identity_id: The identity of the answer.
        outcome: What the call did to it.
        key_id: The key that signed the token.
        expire_time: The token's `exp`.
    """

    identity_pool_id: str = ""
    identity_id: str = ""
    provider_names: tuple[str, ...] = ()
    developer_provider_name: str = ""
    token_duration: int | None = None
    principal_tag_keys: tuple[str, ...] = ()
    policy: str | None = None
    result_identity_id: str | None = None
    outcome: str | None = None
    key_id: str | None = None
    expire_time: NumericDate | None = None


@dataclass(slots=True)
class Call:
    """One call, from its first layer to its end.

    Attributes:
        method: The name of the method.
        request_id: The id that a proxy gave it, else a new one.
        trace_id: The id of the trace that it belongs to (W3C Trace Context), if it belongs to one.
        source: The address that it came from, as gRPC writes it.
        user_agent: What the caller's software calls itself.
        metadata_bytes: The size of its metadata, as HTTP/2 counts it.
        presented: What it shows of its caller.
        caller: Who calls; empty until that is known.
        way: How that became known, such as `mutual_tls`.
        facts: What it asked for and got.
    """

    method: str
    request_id: str
    trace_id: str | None = None
    source: str = ""
    user_agent: str = ""
    metadata_bytes: int = 0
    presented: Presented = field(default_factory=Presented, repr=False)
    caller: str = ""
    way: str = ""
    facts: Facts = field(default_factory=Facts)


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
