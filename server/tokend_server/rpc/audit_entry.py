"""The audit log's entry of a call."""

import base64
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server.access.audit.record import AuditEntry
from tokend_server.call import Call
from tokend_server.model import IssuedToken, NumericDate


class Failure(NamedTuple):
    """How a call failed: the name of its status code, the reason, and the text that the caller gets."""

    code: str | None = None
    reason: str | None = None
    text: str | None = None


NO_FAILURE = Failure()


class _Asked(NamedTuple):
    """What a request asks for."""

    identity_pool_id: str = ""
    identity_id: str = ""
    provider_names: tuple[str, ...] = ()
    developer_provider_name: str = ""
    token_duration_seconds: int | None = None
    principal_tag_keys: tuple[str, ...] = ()


_NOTHING = _Asked()


def audit_entry(call: Call, event_time: float, failure: Failure = NO_FAILURE) -> AuditEntry:
    """All that is known of a call, whether or not its request was within its limits."""
    request, issued = call.request, call.issued
    asked = _NOTHING if request is None else _ASKED[type(request)](request)
    outcome, key_id, expire_time = _issued(issued) if issued else (None, None, None)
    return AuditEntry(
        event_time,
        call.method,
        call.caller,
        call.way,
        _address(call.source),
        call.user_agent,
        *asked,
        call.request_id,
        call.trace_id,
        call.identity_id,
        outcome,
        key_id,
        expire_time,
        call.policy,
        *failure,
    )


def _asked_for_token(request: pb.GetOpenIdTokenForDeveloperIdentityRequest) -> _Asked:
    return _Asked(
        request.identity_pool_id,
        request.identity_id,
        tuple(sorted(request.logins)),
        "",
        request.token_duration.seconds if request.HasField("token_duration") else None,
        tuple(sorted(request.principal_tags)),
    )


def _asked_to_look_up(request: pb.LookupDeveloperIdentityRequest) -> _Asked:
    return _Asked(request.identity_pool_id, request.identity_id)


def _asked_to_merge(request: pb.MergeDeveloperIdentitiesRequest) -> _Asked:
    return _Asked(
        request.identity_pool_id,
        developer_provider_name=request.developer_provider_name,
    )


def _asked_to_unlink(request: pb.UnlinkDeveloperIdentityRequest) -> _Asked:
    return _Asked(
        request.identity_pool_id,
        request.identity_id,
        developer_provider_name=request.developer_provider_name,
    )


_ASKED: Mapping[type, Callable[[Any], _Asked]] = {
    pb.GetOpenIdTokenForDeveloperIdentityRequest: _asked_for_token,
    pb.LookupDeveloperIdentityRequest: _asked_to_look_up,
    pb.MergeDeveloperIdentitiesRequest: _asked_to_merge,
    pb.UnlinkDeveloperIdentityRequest: _asked_to_unlink,
}


def _issued(issued: IssuedToken) -> tuple[str | None, str | None, NumericDate]:
    """What came of the identity, the key that signed, and the token's `exp`."""
    outcome = issued.outcome.value if issued.outcome else None
    return outcome, _key_id(issued.token.reveal().partition(".")[0]), issued.expire_time


@lru_cache(256)
def _key_id(encoded_header: str) -> str | None:
    """The `kid` of a token's header, which is the same for all tokens of a key."""
    try:
        header = json.loads(base64.urlsafe_b64decode(encoded_header + "=" * (-len(encoded_header) % 4)))
        return str(header["kid"])
    except (ValueError, TypeError, KeyError):
        return None


@lru_cache(1024)
def _address(peer: str) -> str:
    """The address without its port of what gRPC calls a peer, such as `ipv4:10.0.0.1:50000`; `unix` for a socket."""
    family, _, address = peer.partition(":")
    return family if family == "unix" else unquote(address.rpartition(":")[0]).strip("[]")
