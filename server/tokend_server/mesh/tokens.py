"""The operation of the contract, made for the current call of a proxy."""

from collections.abc import Callable
from typing import NamedTuple

from tokend_server.access.audit.record import AuditedRequest, AuditedResult
from tokend_server.access.authorization import PolicyRow
from tokend_server.mesh.reused_tokens import Again, GiveOut, TokenSource
from tokend_server.mesh.wanted_token import WantedToken
from tokend_server.model import IssuedToken, Operation, Secret
from tokend_server.rpc.call import Call, current_call
from tokend_server.rpc.developer_identity import DeveloperIdentityService
from tokend_server.rpc.operations import OPERATIONS

_OPERATION = OPERATIONS[Operation.GET_OPEN_ID_TOKEN_FOR_DEVELOPER_IDENTITY]


class Reusable(NamedTuple):
    """A token that may be given out again, and what a call is to tell of it.

    Attributes:
        token: It.
        again: Tells which token would be given out again now.
        identity_pool_id: Its pool.
        row: The row of the policy that let its request through.
        asked: What the audit log has of that request.
        found: What it has of the token for those who get it again.
    """

    token: Secret
    again: Again
    identity_pool_id: str
    row: PolicyRow
    asked: AuditedRequest
    found: AuditedResult


class MeshTokens:
    """Answers for wanted tokens what a call of GetOpenIdTokenForDeveloperIdentity by the same caller would be answered.

    Args:
        service: The operations: policy, limits of fields, engines.
        give_out: Gives out tokens.
        count: Called for each token that is given out, with where it came from.
    """

    def __init__(
        self, service: DeveloperIdentityService, give_out: GiveOut, count: Callable[[TokenSource], object]
    ) -> None:
        self._service = service
        self._give_out = give_out
        self._count = count

    def token_for(self, wanted: WantedToken) -> tuple[IssuedToken, Reusable | None]:
        """The token, within the deadline of the current call, which gets what the audit log tells of it.

        Returns:
            The token, and what gives it out again, if it may be.

        Raises:
            TokendError: As the operation.
        """
        call = current_call()
        message = wanted.to_request()
        admitted = self._service.admit(_OPERATION, message)
        issued, source, again = self._give_out(admitted.request, admitted.deadline, _OPERATION.method(admitted.engine))
        call.token_source = source
        call.result = issued
        self._count(source)
        kept = again()
        if kept is None:
            return issued, None
        asked, found = _OPERATION.audited_request(message), _OPERATION.audited_result(kept)
        return issued, Reusable(kept.token, again, wanted.identity_pool_id, admitted.row, asked, found)

    def gives_again(self, reusable: Reusable, call: Call) -> bool:
        """Gives a token out to a call by the same caller that wants the same one, unless another one is due.

        What the policy, the limits of fields and the engine said of the first call holds for this one, as long as the
        same row lets it through.
        """
        if not self._service.still_admits(reusable.row, call, reusable.identity_pool_id):
            return False
        kept = reusable.again()
        if kept is None or kept.token is not reusable.token:
            return False
        call.audited = reusable.asked, reusable.found
        call.token_source = TokenSource.REUSED
        self._count(TokenSource.REUSED)
        return True
