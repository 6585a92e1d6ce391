"""Checks calls and their requests against the policy."""

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server.access.authorization import Policy, PolicyRow
from tokend_server.errors import CallerNotAllowed
from tokend_server.rpc.call import Call


def allowing_row(policy: Policy, call: Call, identity_pool_id: str) -> PolicyRow:
    """Returns the row that allows a call.

    Raises:
        CallerNotAllowed: No row allows it.
    """
    row = policy.decide(call.caller, call.method, identity_pool_id)
    if row is None:
        raise CallerNotAllowed("The policy does not allow the caller this operation on this identity pool.")
    call.policy = row.name
    return row


def check_allowed_on_any_pool(policy: Policy, call: Call) -> None:
    """Checks that the policy allows a call for at least one pool, before its pool is known.

    Raises:
        CallerNotAllowed: No row matches its caller and its operation.
    """
    if not policy.allows_on_any_pool(call.caller, call.method):
        raise CallerNotAllowed("The policy does not allow the caller this operation on any identity pool.")


def check_token(row: PolicyRow, request: pb.GetOpenIdTokenForDeveloperIdentityRequest) -> None:
    """Checks the duration and the tags that a request for a token asks for.

    Raises:
        CallerNotAllowed: The row does not allow the duration or some of the tags; the text names both.
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
