"""The service of the contract: calls the operation of a request, and returns its result as a response."""

from collections.abc import Callable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar

import grpc

from tokend.v1.developer_identity_service_pb2_grpc import add_DeveloperIdentityServiceServicer_to_server
from tokend_server.access.authorization import Policy, PolicyRow
from tokend_server.clock import Clock, Deadline
from tokend_server.engine import Engine, FindEngine
from tokend_server.errors import ResourceNotFound
from tokend_server.rpc.admission import allowing_row
from tokend_server.rpc.call import Call, current_call
from tokend_server.rpc.operations import OPERATIONS, ServedOperation
from tokend_server.rpc.validation import check_limits

_Response = TypeVar("_Response")


class Admitted(NamedTuple):
    """A request that passed the policy and the limits of its fields.

    Attributes:
        row: The policy row that allows it.
        request: The engine's request.
        engine: The engine of its pool.
        deadline: The caller's deadline.
    """

    row: PolicyRow
    request: Any
    engine: Engine
    deadline: Deadline


class DeveloperIdentityService:
    """Checks requests against the policy and their limits, and calls the engine of their pool.

    Args:
        engines: The engines by identity pool id.
        policy: The policy.
        clock: Measures callers' deadlines.
        on_change: Called with a pool if one of its users may have moved to another identity or to none.
        find: Finds the engine of a pool that is not in `engines`.
    """

    def __init__(
        self,
        engines: Mapping[str, Engine],
        policy: Policy,
        clock: Clock,
        on_change: Callable[[str], object] = lambda _identity_pool_id: None,
        find: FindEngine = lambda _identity_pool_id, _deadline: None,
    ) -> None:
        self._engines = engines
        self._policy = policy
        self._clock = clock
        self._on_change = on_change
        self._find = find

    def add_to(self, server: grpc.Server) -> None:
        """Registers the operations on a server."""
        methods: Any = SimpleNamespace(
            **{name: partial(self.serve, row, row.to_response, None) for name, row in OPERATIONS.items()}
        )
        add_DeveloperIdentityServiceServicer_to_server(methods, server)

    def admit(
        self,
        operation: ServedOperation[Any, Any, Any],
        message: Any,  # noqa: ANN401 - as below
        check: Callable[[], object] | None = None,
    ) -> Admitted:
        """Checks a message of the current call, and returns it as an engine's request.

        Args:
            operation: The operation.
            message: Its message in the contract.
            check: Checks the request of another transport, and raises that transport's errors.

        Raises:
            DeadlineExceeded: The caller's deadline has passed.
            CallerNotAllowed: The policy does not allow it.
            ValidationFailed: Fields violate their limits.
            ResourceNotFound: There is no such pool.
        """
        call = current_call()
        call.request = message
        deadline = Deadline(self._clock, call.presented.deadline_at)
        deadline.check()
        row = allowing_row(self._policy, call, message.identity_pool_id)
        if check is not None:
            check()
        check_limits(operation.limits, message)
        request = operation.to_request(message, call.caller, row)
        return Admitted(row, request, self._engine(message.identity_pool_id, deadline), deadline)

    def is_still_allowed(self, row: PolicyRow, call: Call, identity_pool_id: str) -> bool:
        """Returns whether a call is still waited for, and allowed by the row that admitted the same request before."""
        call.policy = row.name
        waits = call.presented.deadline_at > self._clock.monotonic()
        return waits and self._policy.decide(call.caller, call.method, identity_pool_id) is row

    def serve(
        self,
        operation: ServedOperation[Any, Any, Any],
        to_response: Callable[[Any, float], _Response],
        check: Callable[[], object] | None,
        message: Any,  # noqa: ANN401 - any of the requests
        _context: grpc.ServicerContext | None = None,
    ) -> _Response:
        """Serves a message of the current call.

        Args:
            operation: The operation of the message.
            to_response: Makes the response from the result and the time of the response.
            check: As for `admit`.
            message: The message.

        Raises:
            TokendError: As `admit` and the engine's operation.
        """
        admitted = self.admit(operation, message, check)
        try:
            result = operation.method(admitted.engine)(admitted.request, admitted.deadline)
        finally:  # a failed operation may have been executed
            if operation.changes_users:
                self._on_change(message.identity_pool_id)
        response = to_response(result, self._clock.now())
        current_call().result = result
        return response

    def _engine(self, identity_pool_id: str, deadline: Deadline) -> Engine:
        engine = self._engines.get(identity_pool_id)
        if engine is None:
            engine = self._find(identity_pool_id, deadline)
        if engine is None:
            raise ResourceNotFound.identity_pool(identity_pool_id)
        return engine
