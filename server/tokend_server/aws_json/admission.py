"""What lets calls of the operations through that the contract does not have."""

from collections.abc import Mapping
from typing import Any

from tokend_server.access.audit.record import AuditedRequest, AuditedResult
from tokend_server.access.authorization import Policy
from tokend_server.aws_json.shaped import ShapedOperation
from tokend_server.clock import Clock, Deadline
from tokend_server.engine import Identities
from tokend_server.errors import CallerNotAllowed, ResourceNotFound
from tokend_server.model import Identity
from tokend_server.rpc.admission import check_allowed_somewhere, row_that_allows
from tokend_server.rpc.call import current_call


class Admission:
    """Asks policy and limits for the current call.

    Args:
        policy: Who may do what. What is about no one pool needs a row for all pools, as IAM demands it at AWS.
        clock: What deadlines are measured with.
    """

    def __init__(self, policy: Policy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock

    def admit(self, operation: ShapedOperation, given: Mapping[str, Any], asked: AuditedRequest) -> Deadline:
        """Until when a call has time that is about one pool, or about all of them.

        Args:
            operation: What is asked for.
            given: The members of its input.
            asked: What the audit log has of that, with the pool.

        Raises:
            DeadlineExceeded: Its caller waits no more.
            CallerNotAllowed: The policy does not let it through.
            ValidationFailed: Members break their limits.
        """
        deadline = self._begin(asked)
        row_that_allows(self._policy, current_call(), asked.identity_pool_id)
        operation.check(given)
        return deadline

    def admit_somewhere(self, operation: ShapedOperation, given: Mapping[str, Any], asked: AuditedRequest) -> Deadline:
        """As `admit`, for a call that names identities and not their pools, by which the policy has yet to decide."""
        deadline = self._begin(asked)
        check_allowed_somewhere(self._policy, current_call())
        operation.check(given)
        return deadline

    def allow(self, identity_pool_id: str) -> None:
        """Lets a call through whose pool has become known.

        Raises:
            CallerNotAllowed: The policy does not let it near that pool.
        """
        row_that_allows(self._policy, current_call(), identity_pool_id)

    def allows(self, identity: Identity) -> bool:
        """Whether the policy lets the caller near an identity."""
        try:
            self.allow(identity.identity_pool_id)
        except CallerNotAllowed:
            return False
        return True

    def find(self, identities: Identities, identity_id: str, deadline: Deadline) -> Identity:
        """The identity of an id.

        Raises:
            ResourceNotFound: There is none, or the policy does not let the caller near it, which looks the same.
        """
        identity = identities.find(identity_id, deadline)
        if identity is None or not self.allows(identity):
            raise ResourceNotFound.identity(identity_id)
        return identity

    def _begin(self, asked: AuditedRequest) -> Deadline:
        call = current_call()
        call.audited = asked, AuditedResult()
        deadline = Deadline(self._clock, call.presented.waits_until)
        deadline.check()
        return deadline
