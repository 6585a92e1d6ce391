"""The operation of the contract, made for the current call of a proxy."""

from collections.abc import Callable

from tokend_server.mesh.reused_tokens import GiveOut, TokenSource
from tokend_server.mesh.wanted_token import WantedToken
from tokend_server.model import IssuedToken, Operation
from tokend_server.rpc.call import current_call
from tokend_server.rpc.developer_identity import DeveloperIdentityService
from tokend_server.rpc.operations import OPERATIONS

_OPERATION = OPERATIONS[Operation.GET_OPEN_ID_TOKEN_FOR_DEVELOPER_IDENTITY]


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

    def token_for(self, wanted: WantedToken) -> IssuedToken:
        """The token, within the deadline of the current call, which gets what the audit log tells of it.

        Raises:
            TokendError: As the operation.
        """
        call = current_call()
        admitted = self._service.admit(_OPERATION, wanted.to_request())
        issued, source = self._give_out(admitted.request, admitted.deadline, _OPERATION.method(admitted.engine))
        call.token_source = source
        call.result = issued
        self._count(source)
        return issued
