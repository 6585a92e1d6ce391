"""What the policy says of a call, and what of its request goes beyond that."""

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server.access.authorization import Policy, PolicyRow
from tokend_server.errors import CallerNotAllowed
from tokend_server.rpc.call import Call


def row_that_allows(policy: Policy, call: Call, identity_pool_id: str) -> PolicyRow:
    """The row that lets a call through.

    Raises:
        CallerNotAllowed: There is none.
    """
    row = policy.decide(call.caller, call.method, identity_pool_id)
    if row is None:
        raise CallerNotAllowed("The policy does not allow the caller this operation on this identity pool.")
    call.policy = row.name
    return row


def check_allowed_somewhere(policy: Policy, call: Call) -> None:
    """Makes sure that a call may be let through for some pool, before it is known which one it is about.

    Raises:
        CallerNotAllowed: No row is about its caller and its operation.
    """
    if not policy.allows_somewhere(call.caller, call.method):
        raise CallerNotAllowed("The policy does not allow the caller this operation on any identity pool.")


def check_token(row: PolicyRow, request: pb.GetOpenIdTokenForDeveloperIdentityRequest) -> None:
    """Checks what a request for a token asks beyond its fields' limits.

    Raises:
        CallerNotAllowed: The row allows no such duration, or not all of the tags; the text has both.
    """
    excesses = []
    longest = int(row.max_token_duration.total_seconds())
    if request.token_duration.seconds > longest:
        excesses.append(f"a token_duration above {longest} s")
    if not all(map(row.allows_tag, request.principal_tags)):
        allowed = ", ".join(sorted(row.principal_tag_keys)) or "none"
        excesses.append(f"principal_tags other than: {allowed}")
    if excesses:
        raise CallerNotAllowed(f"The policy does not allow the caller {' nor '.join(excesses)}.")
