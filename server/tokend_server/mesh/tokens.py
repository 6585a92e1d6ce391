"""Calls the contract's operation for the current call of a proxy."""

from collections.abc import Callable
from typing import NamedTuple

from tokend_server.access.audit.record import AuditedRequest, AuditedResult
from tokend_server.access.authorization import PolicyRow
from tokend_server.mesh.reused_tokens import CurrentToken, GetOrIssue, TokenSource
from tokend_server.mesh.wanted_token import WantedToken
from tokend_server.model import IssuedToken, Operation, Secret
from tokend_server.rpc.call import Call, current_call
from tokend_server.rpc.developer_identity import DeveloperIdentityService
from tokend_server.rpc.operations import OPERATIONS

_OPERATION = OPERATIONS[Operation.GET_OPEN_ID_TOKEN_FOR_DEVELOPER_IDENTITY]


class Reusable(NamedTuple):
    """A reusable token, with the data for the audit log.

    Attributes:
        token: The token.
        current_token: Returns the token that can be reused now.
        identity_pool_id: Its pool.
        row: The policy row that allowed its request.
        audited_request: The request in the audit entry.
        audited_result: The result in the audit entries of calls that reuse the token.
    """

    token: Secret
    current_token: CurrentToken
    identity_pool_id: str
    row: PolicyRow
    audited_request: AuditedRequest
    audited_result: AuditedResult


class MeshTokens:
    """Issues tokens with the results of GetOpenIdTokenForDeveloperIdentity called by the same caller.

    Args:
        service: The operations: policy, limits of fields, engines.
        get_or_issue: Issues or reuses tokens.
        count: Called for each token with its source.
    """

    def __init__(
        self, service: DeveloperIdentityService, get_or_issue: GetOrIssue, count: Callable[[TokenSource], object]
    ) -> None:
        self._service = service
        self._get_or_issue = get_or_issue
        self._count = count

    def token_for(self, wanted: WantedToken) -> tuple[IssuedToken, Reusable | None]:
        """Returns a token within the current call's deadline, and sets the call's data for the audit log.

        Returns:
            The token, and its reusable form if it can be reused.

        Raises:
            TokendError: As the operation.
        """
        call = current_call()
        message = wanted.to_request()
        admitted = self._service.admit(_OPERATION, message)
        issued, source, current_token = self._get_or_issue(
            admitted.request, admitted.deadline, _OPERATION.method(admitted.engine)
        )
        call.token_source = source
        call.result = issued
        self._count(source)
        kept = current_token()
        if kept is None:
            return issued, None
        audited_request, audited_result = _OPERATION.audited_request(message), _OPERATION.audited_result(kept)
        return issued, Reusable(
            kept.token, current_token, wanted.identity_pool_id, admitted.row, audited_request, audited_result
        )

    def try_reuse(self, reusable: Reusable, call: Call) -> bool:
        """Reuses a token for an equal request by the same caller; returns False if a new one is due.

        The results of the policy, the limits of fields and the engine for the first call apply to this one too, as long
        as the same row allows it.
        """
        if not self._service.is_still_allowed(reusable.row, call, reusable.identity_pool_id):
            return False
        kept = reusable.current_token()
        if kept is None or kept.token is not reusable.token:
            return False
        call.audited = reusable.audited_request, reusable.audited_result
        call.token_source = TokenSource.REUSED
        self._count(TokenSource.REUSED)
        return True
