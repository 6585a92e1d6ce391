"""The layer that has every decision about a call recorded before the call is answered."""

from collections.abc import Mapping
from functools import wraps
from typing import Any

import grpc

from tokend_server.audit.auditor import Auditor
from tokend_server.call import Call, current_call
from tokend_server.clock import Clock
from tokend_server.errors import AuditUnavailable, TokendError
from tokend_server.rpc.audit_entry import Failure, audit_entry
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
        if not auditor.records or rules.get(method.path) is not Rule.GRANT:
            return behavior

        @wraps(behavior)
        def audited(request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - as grpc calls it
            call = current_call()
            try:
                response = behavior(request, context)
            except grpc.RpcError:  # the call has ended before its message came: nothing was decided
                raise
            except TokendError as error:
                _record_failure(call, Failure(STATUS[type(error)].code.name, error.reason, error.text))
                raise
            except Exception:
                _record_failure(call, Failure(grpc.StatusCode.INTERNAL.name, "INTERNAL", INTERNAL_TEXT))
                raise
            auditor.record(audit_entry(call, clock.now()))
            return response

        def _record_failure(call: Call, failure: Failure) -> None:
            try:
                auditor.record(audit_entry(call, clock.now(), failure))
            except AuditUnavailable:
                return  # the call has failed already, and nothing was issued

        return audited

    return layer
