"""The operations of users' own devices, which are not signed: GetId, GetOpenIdToken, UnlinkIdentity."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tokend_server.access.audit.record import AuditedRequest, AuditedResult
from tokend_server.access.authorization import Policy
from tokend_server.aws_json.shaped import IDENTITY_ID, Output, ShapedOperation
from tokend_server.aws_json.shapes import Text, TextList, TextMap
from tokend_server.clock import Clock, Deadline
from tokend_server.engine import Identities, PublicEngine
from tokend_server.errors import CallerNotAllowed, ResourceNotFound
from tokend_server.model import CognitoOperation, Secret
from tokend_server.rpc.admission import check_allowed_somewhere, row_that_allows
from tokend_server.rpc.call import current_call

_PROVIDER_NAME = Text(128)
LOGINS = TextMap(10, _PROVIDER_NAME, Text(50_000, is_secret=True))

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

#: The rows of these operations.
PUBLIC_OPERATIONS: Mapping[str, ShapedOperation] = MappingProxyType(
    {operation.name: operation for operation in (_GET_ID, _GET_OPEN_ID_TOKEN, _UNLINK)}
)


class Admitted(NamedTuple):
    """What a call of a device is let through to.

    Attributes:
        identity_pool_id: The pool of the identity that it is about.
        engine: The pool's engine.
        deadline: Until when its caller waits.
    """

    identity_pool_id: str
    engine: PublicEngine
    deadline: Deadline


class PublicOperations:
    """Performs them for the current call.

    Args:
        identities: The identities, by whose pools the policy decides.
        engine_of: The engine of a pool; raises `ResourceNotFound` or `UnsupportedByEngine` where there is none.
        policy: Who may do what.
        clock: What deadlines are measured with.
    """

    def __init__(
        self,
        identities: Identities,
        engine_of: Callable[[str], PublicEngine],
        policy: Policy,
        clock: Clock,
    ) -> None:
        self._identities = identities
        self._engine_of = engine_of
        self._policy = policy
        self._clock = clock
        self.by_name: Mapping[str, Callable[[Mapping[str, Any]], Output]] = {
            _GET_ID.name: self._get_id,
            _GET_OPEN_ID_TOKEN.name: self._get_open_id_token,
            _UNLINK.name: self._unlink,
        }

    def _get_id(self, given: Mapping[str, Any]) -> Output:
        call, pool = current_call(), given.get("IdentityPoolId", "")
        asked = AuditedRequest(pool, provider_names=tuple(sorted(given.get("Logins", ()))))
        call.audited = asked, AuditedResult()
        deadline = Deadline(self._clock, call.presented.waits_until)
        deadline.check()
        row_that_allows(self._policy, call, pool)
        _GET_ID.check(given)
        registered = self._engine_of(pool).get_id(logins_of(given), call.caller, deadline)
        call.audited = asked, AuditedResult(registered.identity_id, registered.outcome.value)
        return {"IdentityId": registered.identity_id}

    def _get_open_id_token(self, given: Mapping[str, Any]) -> Output:
        _pool, engine, deadline = self.admitted(_GET_OPEN_ID_TOKEN, given)
        issued = engine.get_open_id_token(given["IdentityId"], logins_of(given), deadline)
        outcome = issued.outcome.value if issued.outcome else None
        tell(AuditedResult(issued.identity_id, outcome, issued.key_id, issued.expire_time))
        return {"IdentityId": issued.identity_id, "Token": issued.token.reveal()}

    def _unlink(self, given: Mapping[str, Any]) -> Output:
        _pool, engine, deadline = self.admitted(_UNLINK, given)
        engine.unlink_identity(given["IdentityId"], logins_of(given), given["LoginsToRemove"], deadline)
        return None

    def admitted(self, operation: ShapedOperation, given: Mapping[str, Any]) -> Admitted:
        """Lets a call through that is about an identity.

        Raises:
            DeadlineExceeded: Its caller waits no more.
            CallerNotAllowed: The policy does not let it through.
            ValidationFailed: Members break their limits.
            ResourceNotFound: No pool that the caller may use has the identity.
        """
        call, identity_id = current_call(), given.get("IdentityId", "")
        names = tuple(sorted(given.get("Logins", ())))
        call.audited = AuditedRequest(identity_id=identity_id, provider_names=names), AuditedResult()
        deadline = Deadline(self._clock, call.presented.waits_until)
        deadline.check()
        check_allowed_somewhere(self._policy, call)
        operation.check(given)
        identity = self._identities.find(identity_id, deadline)
        if identity is None:
            raise ResourceNotFound.identity(identity_id)
        pool = identity.identity_pool_id
        try:
            row_that_allows(self._policy, call, pool)
        except CallerNotAllowed:  # an identity of a pool that is not the caller's looks like none at all
            raise ResourceNotFound.identity(identity_id) from None
        call.audited = AuditedRequest(pool, identity_id, names), AuditedResult()
        return Admitted(pool, self._engine_of(pool), deadline)


def logins_of(given: Mapping[str, Any]) -> Mapping[str, Secret]:
    """The logins of a request."""
    return {name: Secret(value) for name, value in given.get("Logins", {}).items()}


def tell(result: AuditedResult) -> None:
    """Lets the audit log have what the current call has come to."""
    call = current_call()
    if call.audited:
        call.audited = call.audited[0], result
