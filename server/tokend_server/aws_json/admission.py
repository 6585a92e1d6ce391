"""Checks calls of operations outside the contract against the policy."""

from collections.abc import Mapping
from typing import Any

from tokend_server.access.audit.record import AuditedRequest, AuditedResult
from tokend_server.access.authorization import Policy
from tokend_server.aws_json.shaped import ShapedOperation
from tokend_server.clock import Clock, Deadline
from tokend_server.engine import Identities
from tokend_server.errors import CallerNotAllowed, ResourceNotFound
from tokend_server.model import Identity
from tokend_server.rpc.admission import allowing_row, check_allowed_on_any_pool
from tokend_server.rpc.call import current_call


class Admission:
    """Checks the current call against the policy and the limits of its members.

    Args:
        policy: The policy. A call that concerns no single pool needs a row for all pools, as in IAM.
        clock: Measures deadlines.
    """

    def __init__(self, policy: Policy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock

    def admit(self, operation: ShapedOperation, given: Mapping[str, Any], asked: AuditedRequest) -> Deadline:
        """Admits a call that concerns one pool or all pools, and returns its deadline.

        Args:
            operation: The operation.
            given: The members of its input.
            asked: The request in the audit entry, with the pool.

        Raises:
            DeadlineExceeded: The caller's deadline has passed.
            CallerNotAllowed: The policy does not allow it.
            ValidationFailed: Members violate their limits.
        """
        deadline = self._begin(asked)
        allowing_row(self._policy, current_call(), asked.identity_pool_id)
        operation.check(given)
        return deadline

    def admit_on_any_pool(
        self, operation: ShapedOperation, given: Mapping[str, Any], asked: AuditedRequest
    ) -> Deadline:
        """As `admit`, for a call that names identities, whose pools the policy checks later."""
        deadline = self._begin(asked)
        check_allowed_on_any_pool(self._policy, current_call())
        operation.check(given)
        return deadline

    def check_allowed(self, identity_pool_id: str) -> None:
        """Checks a call against the policy once its pool is known.

        Raises:
            CallerNotAllowed: The policy does not allow the pool.
        """
        allowing_row(self._policy, current_call(), identity_pool_id)

    def allows(self, identity: Identity) -> bool:
        """Returns whether the policy allows the call for an identity's pool."""
        try:
            self.check_allowed(identity.identity_pool_id)
        except CallerNotAllowed:
            return False
        return True

    def find(self, identities: Identities, identity_id: str, deadline: Deadline) -> Identity:
        """Returns the identity with an id.

        Raises:
            ResourceNotFound: There is none, or the policy does not allow its pool, which is not distinguishable.
        """
        identity = identities.find(identity_id, deadline)
        if identity is None or not self.allows(identity):
            raise ResourceNotFound.identity(identity_id)
        return identity

    def _begin(self, asked: AuditedRequest) -> Deadline:
        call = current_call()
        call.audited = asked, AuditedResult()
        deadline = Deadline(self._clock, call.presented.deadline_at)
        deadline.check()
        return deadline
