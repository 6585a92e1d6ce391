"""The operations that are not served, with AWS's responses to callers without permission."""

from collections.abc import Container, Mapping, Sequence
from typing import Any

from tokend_server.access.audit.record import AuditedRequest, AuditedResult
from tokend_server.aws_json.errors import forbidden_text
from tokend_server.aws_json.shaped import IDENTITY_ID, Output, PerformedOperation, ShapedOperation
from tokend_server.errors import CallerNotAllowed, NotAuthorized
from tokend_server.model import CognitoOperation
from tokend_server.rpc.call import current_call

_IDS = ("IdentityPoolId", "IdentityId")


def refused_operations(served: Container[str]) -> Sequence[PerformedOperation]:
    """Returns the operations that are not served, each with a function that refuses it and reads only ids."""
    members = dict.fromkeys(_IDS, IDENTITY_ID)
    return [
        (ShapedOperation(name, members, frozenset()), _refuse if name.is_signed else _refuse_unsigned)
        for name in CognitoOperation
        if name not in served
    ]


def _refuse(given: Mapping[str, Any]) -> Output:
    _set_audited_request(given)
    raise CallerNotAllowed("This service does not have the operation.")


def _refuse_unsigned(given: Mapping[str, Any]) -> Output:
    _set_audited_request(given)
    raise NotAuthorized(forbidden_text(given.get("IdentityId", "")))


def _set_audited_request(given: Mapping[str, Any]) -> None:
    current_call().audited = AuditedRequest(*(given.get(name, "") for name in _IDS)), AuditedResult()
