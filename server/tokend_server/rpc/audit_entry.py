"""What the audit log is told of a call."""

import base64
import json
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from typing import Any
from urllib.parse import unquote

from tokend_server.audit.record import AuditEntry
from tokend_server.call import Call
from tokend_server.model import IssuedToken

#: More of a request than this may not have been checked, and is not told.
_MOST_NAMES = 50
_MOST_CHARACTERS = 256


def audit_entry(call: Call, event_time: float) -> AuditEntry:
    """All that is known of a call, whether or not its request was within its limits."""
    return AuditEntry(
        event_time=event_time,
        method=call.method,
        caller=call.caller,
        way=call.way,
        request_id=call.request_id,
        trace_id=call.trace_id,
        source_address=_address(call.source),
        user_agent=call.user_agent,
        result_identity_id=call.identity_id,
        policy=call.policy,
        **_asked(call.request),
        **_issued(call.issued),
    )


def _asked(request: Any) -> dict[str, Any]:  # noqa: ANN401 - any of the requests, or none
    if request is None:
        return {}
    asked = {"identity_pool_id": request.identity_pool_id[:_MOST_CHARACTERS]}
    if hasattr(request, "identity_id"):
        asked["identity_id"] = request.identity_id[:_MOST_CHARACTERS]
    if hasattr(request, "logins"):
        asked["provider_names"] = _names(request.logins)
        asked["principal_tag_keys"] = _names(request.principal_tags)
        asked["token_duration_seconds"] = request.token_duration.seconds if request.HasField("token_duration") else None
    elif hasattr(request, "developer_provider_name"):
        asked["developer_provider_name"] = request.developer_provider_name[:_MOST_CHARACTERS]
    return asked


def _issued(issued: IssuedToken | None) -> dict[str, Any]:
    if issued is None:
        return {}
    return {
        "outcome": issued.outcome.value if issued.outcome else None,
        "expire_time": issued.expire_time,
        "key_id": _key_id(issued.token.reveal().partition(".")[0]),
    }


@lru_cache(256)
def _key_id(encoded_header: str) -> str | None:
    """The `kid` of a token's header, which is the same for all tokens of a key."""
    try:
        header = json.loads(base64.urlsafe_b64decode(encoded_header + "=" * (-len(encoded_header) % 4)))
        return str(header["kid"])
    except (ValueError, TypeError, KeyError):
        return None


def _names(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(name[:_MOST_CHARACTERS] for name in islice(given, _MOST_NAMES))


def _address(peer: str) -> str:
    """The address without its port of what gRPC calls a peer, such as `ipv4:10.0.0.1:50000`; `unix` for a socket."""
    family, _, address = peer.partition(":")
    return family if family == "unix" else unquote(address.rpartition(":")[0]).strip("[]")
