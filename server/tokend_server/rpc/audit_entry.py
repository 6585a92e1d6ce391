"""What the audit log is told of a call."""

import base64
import json
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from typing import NamedTuple
from urllib.parse import unquote

from tokend.v1.developer_identity_service_pb2 import GetOpenIdTokenForDeveloperIdentityRequest
from tokend_server.audit.record import AuditEntry
from tokend_server.call import Call


class Failure(NamedTuple):
    """How a call failed: the name of its status code, the reason, and what the caller is told."""

    code: str | None = None
    reason: str | None = None
    text: str | None = None


NO_FAILURE = Failure()

#: More of a request than this may not have been checked, and is not told.
_MOST_NAMES = 50
_MOST_CHARACTERS = 256


def audit_entry(call: Call, event_time: float, failure: Failure = NO_FAILURE) -> AuditEntry:
    """All that is known of a call, whether or not its request was within its limits."""
    request, issued = call.request, call.issued
    get = request if isinstance(request, GetOpenIdTokenForDeveloperIdentityRequest) else None
    return AuditEntry(
        event_time=event_time,
        method=call.method,
        caller=call.caller,
        way=call.way,
        request_id=call.request_id,
        trace_id=call.trace_id,
        source_address=_address(call.source),
        user_agent=call.user_agent,
        identity_pool_id=_text(request, "identity_pool_id"),
        identity_id=_text(request, "identity_id"),
        provider_names=_names(get.logins) if get else (),
        developer_provider_name=_text(request, "developer_provider_name"),
        token_duration_seconds=get.token_duration.seconds if get else None,
        principal_tag_keys=_names(get.principal_tags) if get else (),
        result_identity_id=call.identity_id,
        outcome=issued.outcome.value if issued and issued.outcome else None,
        key_id=_key_id(issued.token.reveal().partition(".")[0]) if issued else None,
        expire_time=issued.expire_time if issued else None,
        policy=call.policy,
        error_code=failure.code,
        error_reason=failure.reason,
        error_text=failure.text,
    )


def _text(request: object, field: str) -> str:
    text: str = getattr(request, field, "")
    return text[:_MOST_CHARACTERS]


@lru_cache(256)
def _key_id(encoded_header: str) -> str | None:
    """The `kid` of a token's header, which is the same for all tokens of a key."""
    try:
        header = json.loads(base64.urlsafe_b64decode(encoded_header + "=" * (-len(encoded_header) % 4)))
        return str(header["kid"])
    except (ValueError, TypeError, KeyError):
        return None


def _names(given: Iterable[str]) -> tuple[str, ...]:
    return tuple([name[:_MOST_CHARACTERS] for name in islice(given, _MOST_NAMES)])


@lru_cache(1024)
def _address(peer: str) -> str:
    """The address without its port of what gRPC calls a peer, such as `ipv4:10.0.0.1:50000`; `unix` for a socket."""
    family, _, address = peer.partition(":")
    return family if family == "unix" else unquote(address.rpartition(":")[0]).strip("[]")
