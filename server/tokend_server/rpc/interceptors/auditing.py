"""The layer that has every decision about a call recorded before the call is answered."""

from collections.abc import Mapping
from functools import wraps
from typing import Any
from urllib.parse import unquote

import grpc

from tokend_server.audit.auditor import Auditor
from tokend_server.audit.record import AuditEntry
from tokend_server.call import Call, current_call
from tokend_server.clock import Clock
from tokend_server.errors import AuditUnavailable, TokendError
from tokend_server.rpc.interceptors.layers import Behavior, Layer, Method
from tokend_server.rpc.policy import Rule
from tokend_server.rpc.status import INTERNAL_TEXT, STATUS


def auditing(auditor: Auditor, clock: Clock, rules: Mapping[str, Rule]) -> Layer:
    """A layer that records the calls of methods that need a grant.

    Args:
        auditor: Records them.
        clock: When they were.
        rules: What a caller needs for each method, by its path.
    """

    def layer(method: Method, behavior: Behavior) -> Behavior:
        if rules.get(method.path) is not Rule.GRANT:
            return behavior

        @wraps(behavior)
        def audited(request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - as grpc calls it
            call = current_call()
            try:
                response = behavior(request, context)
            except grpc.RpcError:  # the call has ended before its message came: nothing was decided
                raise
            except TokendError as error:
                _record_failure(call, STATUS[type(error)].code, error.reason, error.text)
                raise
            except Exception:
                _record_failure(call, grpc.StatusCode.INTERNAL, "INTERNAL", INTERNAL_TEXT)
                raise
            auditor.record(_entry(call, clock.now()))
            return response

        def _record_failure(call: Call, code: grpc.StatusCode, reason: str | None, text: str) -> None:
            entry = _entry(call, clock.now())._replace(error_code=code.name, error_reason=reason, error_text=text)
            try:
                auditor.record(entry)
            except AuditUnavailable:
                return  # the call has failed already, and nothing was issued

        return audited

    return layer


def _entry(call: Call, event_time: float) -> AuditEntry:
    facts = call.facts
    return AuditEntry(
        event_time=event_time,
        method=call.method,
        caller=call.caller,
        way=call.way,
        request_id=call.request_id,
        trace_id=call.trace_id,
        source_address=_address(call.source),
        user_agent=call.user_agent,
        identity_pool_id=facts.identity_pool_id,
        identity_id=facts.identity_id,
        provider_names=facts.provider_names,
        developer_provider_name=facts.developer_provider_name,
        token_duration_seconds=facts.token_duration,
        principal_tag_keys=facts.principal_tag_keys,
        result_identity_id=facts.result_identity_id,
        outcome=facts.outcome,
        key_id=facts.key_id,
        expire_time=facts.expire_time,
        policy=facts.policy,
    )


def _address(peer: str) -> str:
    """The address without its port of what gRPC calls a peer, such as `ipv4:10.0.0.1:50000`; `unix` for a socket."""
    family, _, address = peer.partition(":")
    return family if family == "unix" else unquote(address.rpartition(":")[0]).strip("[]")
