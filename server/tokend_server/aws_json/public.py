"""The operations of users' own devices, which are not signed: GetId, GetOpenIdToken, UnlinkIdentity."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tokend_server.access.audit.record import AuditedRequest, AuditedResult
from tokend_server.aws_json.admission import Admission
from tokend_server.aws_json.shaped import IDENTITY_ID, Output, PerformedOperation, ShapedOperation
from tokend_server.aws_json.shapes import Text, TextList, TextMap
from tokend_server.clock import Deadline
from tokend_server.engine import Identities, PublicEngine
from tokend_server.model import MAX_LOGIN_LENGTH, CognitoOperation, Secret
from tokend_server.rpc.call import current_call

_PROVIDER_NAME = Text(128)
LOGINS = TextMap(10, _PROVIDER_NAME, Text(MAX_LOGIN_LENGTH, is_secret=True))

_GET_ID = ShapedOperation(
    CognitoOperation.GET_ID,
    {"AccountId": Text(15, r"\d+"), "IdentityPoolId": IDENTITY_ID, "Logins": LOGINS},
    frozenset({"IdentityPoolId"}),
)
_GET_OPEN_ID_TOKEN = ShapedOperation(
    CognitoOperation.GET_OPEN_ID_TOKEN, {"IdentityId": IDENTITY_ID, "Logins": LOGINS}, frozenset({"IdentityId"})
)
_UNLINK = ShapedOperation(
    CognitoOperation.UNLINK_IDENTITY,
    {"IdentityId": IDENTITY_ID, "Logins": LOGINS, "LoginsToRemove": TextList(_PROVIDER_NAME)},
    frozenset({"IdentityId", "Logins", "LoginsToRemove"}),
)


class Admitted(NamedTuple):
    """An admitted call of a device.

    Attributes:
        identity_pool_id: The pool of the identity in the request.
        engine: The pool's engine.
        deadline: The caller's deadline.
    """

    identity_pool_id: str
    engine: PublicEngine
    deadline: Deadline


class PublicOperations:
    """Performs the operations for the current call.

    Args:
        identities: The identities, whose pools the policy checks.
        engine_of: Returns the engine of a pool; raises `ResourceNotFound` or `UnsupportedByEngine` if there is none.
        admission: Checks policy and limits.
    """

    def __init__(
        self, identities: Identities, engine_of: Callable[[str, Deadline], PublicEngine], admission: Admission
    ) -> None:
        self._identities = identities
        self._engine_of = engine_of
        self._admission = admission
        self.operations: Sequence[PerformedOperation] = (
            (_GET_ID, self._get_id),
            (_GET_OPEN_ID_TOKEN, self._get_open_id_token),
            (_UNLINK, self._unlink),
        )

    def _get_id(self, given: Mapping[str, Any]) -> Output:
        pool = given.get("IdentityPoolId", "")
        asked = AuditedRequest(pool, provider_names=tuple(sorted(given.get("Logins", ()))))
        deadline = self._admission.admit(_GET_ID, given, asked)
        registered = self._engine_of(pool, deadline).get_id(logins_of(given), current_call().caller, deadline)
        set_audited_result(AuditedResult(registered.identity_id, registered.outcome.value))
        return {"IdentityId": registered.identity_id}

    def _get_open_id_token(self, given: Mapping[str, Any]) -> Output:
        _pool, engine, deadline = self.admitted(_GET_OPEN_ID_TOKEN, given)
        issued = engine.get_open_id_token(given["IdentityId"], logins_of(given), deadline)
        outcome = issued.outcome.value if issued.outcome else None
        set_audited_result(AuditedResult(issued.identity_id, outcome, issued.key_id, issued.expire_time))
        return {"IdentityId": issued.identity_id, "Token": issued.token.reveal()}

    def _unlink(self, given: Mapping[str, Any]) -> Output:
        _pool, engine, deadline = self.admitted(_UNLINK, given)
        engine.unlink_identity(given["IdentityId"], logins_of(given), given["LoginsToRemove"], deadline)
        return None

    def admitted(self, operation: ShapedOperation, given: Mapping[str, Any]) -> Admitted:
        """Admits a call about an identity.

        Raises:
            DeadlineExceeded: The caller's deadline has passed.
            CallerNotAllowed: The policy does not allow it.
            ValidationFailed: Members violate their limits.
            ResourceNotFound: No pool that the caller may use has the identity.
        """
        identity_id, names = given.get("IdentityId", ""), tuple(sorted(given.get("Logins", ())))
        asked = AuditedRequest(identity_id=identity_id, provider_names=names)
        deadline = self._admission.admit_on_any_pool(operation, given, asked)
        pool = self._admission.find(self._identities, identity_id, deadline).identity_pool_id
        current_call().audited = AuditedRequest(pool, identity_id, names), AuditedResult()
        return Admitted(pool, self._engine_of(pool, deadline), deadline)


def logins_of(given: Mapping[str, Any]) -> Mapping[str, Secret]:
    """Returns the logins of a request."""
    return {name: Secret(value) for name, value in given.get("Logins", {}).items()}


def set_audited_result(result: AuditedResult) -> None:
    """Sets the result of the current call for the audit log."""
    call = current_call()
    if call.audited:
        call.audited = call.audited[0], result
