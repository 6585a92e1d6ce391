"""The pools of conformance cases, by their names in the cases."""

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tests.fakes.cognito_engine import CognitoLikeEngine, FailingEngine
from tests.fakes.cognito_faults import AWS_FAILURES
from tests.fakes.cognito_script import AwsFailure
from tests.fakes.scripted_upstream import TIMEOUT

from tokend_server.aws_json.errors import AwsError
from tokend_server.clock import Clock, Deadline
from tokend_server.engine import Engine
from tokend_server.model import DeveloperIdentity, IssuedToken, LookupRequest, MergeRequest, TokenRequest, UnlinkRequest

PROVIDER = "login.example.test"

#: Pools of the local engine with the algorithms of their tokens. ES256 signatures are never equal.
LOCAL_POOLS: Mapping[str, str] = {
    "pool": "ES256",
    "pool_rs512": "RS512",
    "pool_rs256": "RS256",
    "pool_es256": "ES256",
}

#: Pools on Cognito that fail with an AWS error.
FAILING_POOLS: Mapping[str, AwsFailure] = {
    "pool_throttled": AWS_FAILURES["TooManyRequestsException"],
    "pool_outage": AWS_FAILURES["InternalErrorException"],
    "pool_external": AWS_FAILURES["ExternalServiceException"],
    "pool_rejected": AWS_FAILURES["UnrecognizedClientException"],
    "pool_refused": AWS_FAILURES["NotAuthorizedException"],
    "pool_invalid": AWS_FAILURES["InvalidParameterException"],
    "pool_missing": AWS_FAILURES["ResourceNotFoundException"],
    "pool_conflict": AWS_FAILURES["ResourceConflictException"],
    "pool_registered": AWS_FAILURES["DeveloperUserAlreadyRegisteredException"],
    "pool_full": AWS_FAILURES["LimitExceededException"],
    "pool_unsupported": AwsFailure("UnknownOperationException"),
}

#: On Cognito: responds; never responds; responds to a user once. Hanging requests get a response after /reset.
COGNITO_POOLS = ("pool_cognito", "pool_hanging", "pool_hanging_later", *FAILING_POOLS)

POOL_IDS: Mapping[str, str] = {
    name: f"us-east-1:0a1b2c3d-0000-4000-8000-{number:012x}"
    for number, name in enumerate((*LOCAL_POOLS, *COGNITO_POOLS))
}


class Gate:
    """Blocks calls until they are released."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting = 0
        self._openings = 0

    def wait(self) -> None:
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
            opening = self._openings
            self._changed.wait_for(lambda: self._openings != opening)
            self._waiting -= 1

    def wait_for_arrival(self) -> None:
        """Waits until a call is blocked.

        Raises:
            TimeoutError: No call has arrived.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting > 0, TIMEOUT):
                raise TimeoutError("no call has come to the gate")

    def release(self) -> None:
        """Releases all blocked calls. Later calls are blocked again."""
        with self._changed:
            self._openings += 1
            self._changed.notify_all()


class HangingEngine:
    """An engine that handles a user's first calls, and blocks the next ones at a gate.

    Args:
        engine: The real engine.
        gate: The gate.
        first_calls: How many calls of each user are not blocked.
    """

    def __init__(self, engine: Engine, gate: Gate, first_calls: int) -> None:
        self._engine = engine
        self._gate = gate
        self._first_calls = first_calls
        self._calls: Counter[frozenset[Any]] = Counter()

    def get_open_id_token_for_developer_identity(self, request: TokenRequest, deadline: Deadline) -> IssuedToken:
        user = frozenset(request.logins.items())
        self._calls[user] += 1
        if self._calls[user] > self._first_calls:
            self._gate.wait()
        return self._engine.get_open_id_token_for_developer_identity(request, deadline)

    def lookup_developer_identity(self, request: LookupRequest, deadline: Deadline) -> DeveloperIdentity:
        self._gate.wait()
        return self._engine.lookup_developer_identity(request, deadline)

    def merge_developer_identities(self, request: MergeRequest, deadline: Deadline) -> str:
        self._gate.wait()
        return self._engine.merge_developer_identities(request, deadline)

    def unlink_developer_identity(self, request: UnlinkRequest, deadline: Deadline) -> None:
        self._gate.wait()
        self._engine.unlink_developer_identity(request, deadline)


def upstream_engines(clock: Clock, gate: Gate) -> Mapping[str, Engine]:
    """Returns the engines of the pools on Cognito, by their ids."""
    answering = CognitoLikeEngine(clock)
    engines: dict[str, Engine] = {
        name: FailingEngine(AwsError(failure.code, failure.message, failure.status))
        for name, failure in FAILING_POOLS.items()
    }
    engines["pool_cognito"] = answering
    engines["pool_hanging"] = HangingEngine(answering, gate, 0)
    engines["pool_hanging_later"] = HangingEngine(answering, gate, 1)
    return {POOL_IDS[name]: engine for name, engine in engines.items()}
