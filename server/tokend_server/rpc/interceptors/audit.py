"""The layer that writes every decision about a call to the audit log before the call is answered."""

from collections.abc import Mapping
from functools import wraps
from typing import Any

import grpc

from tokend_server.access.audit.auditor import Auditor
from tokend_server.callers.names import UNSIGNED
from tokend_server.clock import Clock
from tokend_server.engine import BeforeChange, do_nothing
from tokend_server.errors import AuditUnavailable, TokendError
from tokend_server.model import ANONYMOUS
from tokend_server.rpc.audit_entry import Failure, audit_entry
from tokend_server.rpc.call import Call, current_call
from tokend_server.rpc.ended import CallEnded
from tokend_server.rpc.interceptors.layers import Behavior, Layer, Method
from tokend_server.rpc.policy import Rule
from tokend_server.rpc.status import INTERNAL_TEXT, STATUS

#: Reasons that count as unauthenticated if callers are not identified.
_UNAUTHENTICATED_REASONS = frozenset(
    {"CALLER_NOT_ALLOWED", "METADATA_TOO_LARGE", "TOO_MANY_REQUESTS", "VALIDATION_FAILED"}
)


def recording_intent(auditor: Auditor, clock: Clock) -> BeforeChange:
    """Returns a function that records a call's intent before its change, if `audit.required` is set.

    If the intent cannot be recorded, the call fails with `AuditUnavailable` and changes nothing.

    Args:
        auditor: Records the intent.
        clock: Dates it.
    """
    if not auditor.is_required:
        return do_nothing

    def record_intent() -> None:
        call = current_call()
        if not call.intent_recorded:
            auditor.record(audit_entry(call, clock.now())._replace(phase="intent"))
            call.intent_recorded = True

    return record_intent


def auditing(auditor: Auditor, clock: Clock, rules: Mapping[str, Rule]) -> Layer:
    """A layer that records the calls of methods that need a grant.

    Args:
        auditor: Records the calls.
        clock: Dates them.
        rules: What a caller needs for each method, by its path.
    """

    def layer(method: Method, behavior: Behavior) -> Behavior:
        if not auditor.is_enabled or rules.get(method.path) is not Rule.GRANT:
            return behavior

        @wraps(behavior)
        def audited(request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - as grpc calls it
            call = current_call()
            try:
                response = behavior(request, context)
            except CallEnded:  # the call ended before its message was received: nothing was decided
                raise
            except Exception as error:
                _record_failure(call, _failure(error))
                raise
            if call.failure:
                _record_failure(call, _failure(call.failure))
            else:
                auditor.record(audit_entry(call, clock.now()))
            return response

        def _record_failure(call: Call, failure: Failure) -> None:
            if _is_unauthenticated(call, failure) and auditor.omit_refusal():
                return
            try:
                auditor.record(audit_entry(call, clock.now(), failure))
            except AuditUnavailable:
                return  # the call has already failed, and no token was issued

        return audited

    return layer


def _failure(error: Exception) -> Failure:
    if not isinstance(error, TokendError):
        return Failure(grpc.StatusCode.INTERNAL.name, "INTERNAL", INTERNAL_TEXT)
    return Failure(STATUS[type(error)].code.name, error.reason, error.text)


def _is_unauthenticated(call: Call, failure: Failure) -> bool:
    if not call.caller or call.caller.startswith(UNSIGNED):
        return True
    return call.caller == ANONYMOUS and failure.reason in _UNAUTHENTICATED_REASONS
