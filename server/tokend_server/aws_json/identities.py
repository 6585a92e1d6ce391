"""The operations on identities by their ids: ListIdentities, DescribeIdentity, DeleteIdentities."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tokend_server.access.audit.record import AuditedRequest, AuditedResult
from tokend_server.aws_json.admission import Admission
from tokend_server.aws_json.shaped import IDENTITY_ID, NEXT_TOKEN, Output, PerformedOperation, ShapedOperation
from tokend_server.aws_json.shapes import Flag, Integer, TextList
from tokend_server.clock import Deadline
from tokend_server.engine import Identities
from tokend_server.errors import TokendError
from tokend_server.failures import log_failure
from tokend_server.model import CognitoOperation, Identity, ListRequest
from tokend_server.rpc.call import current_call

_LIST = ShapedOperation(
    CognitoOperation.LIST_IDENTITIES,
    {"IdentityPoolId": IDENTITY_ID, "MaxResults": Integer(1, 60), "NextToken": NEXT_TOKEN, "HideDisabled": Flag()},
    frozenset({"IdentityPoolId", "MaxResults"}),
)
_DESCRIBE = ShapedOperation(CognitoOperation.DESCRIBE_IDENTITY, {"IdentityId": IDENTITY_ID}, frozenset({"IdentityId"}))
_DELETE = ShapedOperation(
    CognitoOperation.DELETE_IDENTITIES,
    {"IdentityIdsToDelete": TextList(IDENTITY_ID, 1, 60)},
    frozenset({"IdentityIdsToDelete"}),
)

#: The reasons for which an identity was not deleted (the service model's ErrorCode).
_ACCESS_DENIED, _SERVER_ERROR = "AccessDenied", "InternalServerError"


class IdentityOperations:
    """Performs the operations for the current call.

    Args:
        identities: The identities.
        admission: Checks policy and limits.
        on_change: Called with a pool whose identities may have been deleted.
    """

    def __init__(self, identities: Identities, admission: Admission, on_change: Callable[[str], object]) -> None:
        self._identities = identities
        self._admission = admission
        self._on_change = on_change
        self.operations: Sequence[PerformedOperation] = (
            (_LIST, self._list),
            (_DESCRIBE, self._describe),
            (_DELETE, self._delete),
        )

    def _list(self, given: Mapping[str, Any]) -> Output:
        pool = given.get("IdentityPoolId", "")
        deadline = self._admission.admit(_LIST, given, AuditedRequest(pool))
        request = ListRequest(pool, given["MaxResults"], given.get("NextToken"), given.get("HideDisabled", False))
        page = self._identities.list(request, deadline)
        output = {"IdentityPoolId": pool, "Identities": [described(each) for each in page.identities]}
        return output | {"NextToken": page.next_token} if page.next_token else output

    def _describe(self, given: Mapping[str, Any]) -> Output:
        identity_id = given.get("IdentityId", "")
        deadline = self._admission.admit_on_any_pool(_DESCRIBE, given, AuditedRequest(identity_id=identity_id))
        identity = self._admission.find(self._identities, identity_id, deadline)
        current_call().audited = AuditedRequest(identity.identity_pool_id, identity_id), AuditedResult(identity_id)
        return described(identity)

    def _delete(self, given: Mapping[str, Any]) -> Output:
        identity_ids = tuple(dict.fromkeys(given.get("IdentityIdsToDelete", ())))
        asked = AuditedRequest(identity_ids=identity_ids)
        deadline = self._admission.admit_on_any_pool(_DELETE, given, asked)
        failures = {each: failure for each in identity_ids if (failure := self._deleted(each, deadline))}
        current_call().audited = asked, AuditedResult(unprocessed_identity_ids=tuple(failures))
        return {"UnprocessedIdentityIds": [{"IdentityId": each, "ErrorCode": code} for each, code in failures.items()]}

    def _deleted(self, identity_id: str, deadline: Deadline) -> str | None:
        """Deletes an identity, and returns the reason if that failed. A missing identity counts as deleted."""
        try:
            identity = self._identities.find(identity_id, deadline)
            if identity is None:
                return None
            if not self._admission.allows(identity):
                return _ACCESS_DENIED
            try:
                self._identities.delete(identity, deadline)
            finally:  # a failed deletion may have been executed
                self._on_change(identity.identity_pool_id)
        except TokendError as error:
            log_failure(current_call().method, error)
            return _SERVER_ERROR
        return None


def described(identity: Identity) -> Mapping[str, object]:
    """Returns an identity in AWS's format: names of providers, dates in seconds since the Unix epoch."""
    return {
        "IdentityId": identity.identity_id,
        "Logins": sorted({login.provider_name for login in identity.logins}),
        "CreationDate": identity.creation_date,
        "LastModifiedDate": identity.last_modified_date,
    }
