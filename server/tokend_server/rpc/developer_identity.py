from collections.abc import Mapping
from typing import Any

import grpc

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceServicer
from tokend_server.access.authorization import Policy, Row
from tokend_server.call import current_call
from tokend_server.clock import Clock, Deadline
from tokend_server.engine import Engine
from tokend_server.errors import ResourceNotFound
from tokend_server.rpc import admission, convert
from tokend_server.rpc.validation import check_limits


class DeveloperIdentityService(DeveloperIdentityServiceServicer):
    """Asks the policy, checks requests, finds the engine of their pool, and speaks protobuf on its behalf.

    Args:
        engines: The engines by identity pool id; a pool that is not here does not exist.
        policy: Who may do what.
        clock: What callers' deadlines are measured with.
    """

    def __init__(self, engines: Mapping[str, Engine], policy: Policy, clock: Clock) -> None:
        self._engines = engines
        self._policy = policy
        self._clock = clock

    def GetOpenIdTokenForDeveloperIdentity(  # noqa: N802 - the contract's name
        self, request: pb.GetOpenIdTokenForDeveloperIdentityRequest, _context: grpc.ServicerContext
    ) -> pb.GetOpenIdTokenForDeveloperIdentityResponse:
        deadline, row = self._admit(request)
        admission.check_token(row, request)
        asked = convert.token_request(request, current_call().caller, row.max_token_duration)
        engine = self._engine(request.identity_pool_id)
        issued = engine.get_open_id_token_for_developer_identity(asked, deadline)
        call = current_call()
        call.issued, call.identity_id = issued, issued.identity_id
        return convert.token_response(issued, self._clock.now())

    def LookupDeveloperIdentity(  # noqa: N802 - the contract's name
        self, request: pb.LookupDeveloperIdentityRequest, _context: grpc.ServicerContext
    ) -> pb.LookupDeveloperIdentityResponse:
        deadline, _ = self._admit(request)
        asked = convert.lookup_request(request, current_call().caller)
        found = self._engine(request.identity_pool_id).lookup_developer_identity(asked, deadline)
        current_call().identity_id = found.identity_id
        return convert.lookup_response(found)

    def MergeDeveloperIdentities(  # noqa: N802 - the contract's name
        self, request: pb.MergeDeveloperIdentitiesRequest, _context: grpc.ServicerContext
    ) -> pb.MergeDeveloperIdentitiesResponse:
        deadline, _ = self._admit(request)
        engine = self._engine(request.identity_pool_id)
        identity_id = engine.merge_developer_identities(convert.merge_request(request), deadline)
        current_call().identity_id = identity_id
        return pb.MergeDeveloperIdentitiesResponse(identity_id=identity_id)

    def UnlinkDeveloperIdentity(  # noqa: N802 - the contract's name
        self, request: pb.UnlinkDeveloperIdentityRequest, _context: grpc.ServicerContext
    ) -> pb.UnlinkDeveloperIdentityResponse:
        deadline, _ = self._admit(request)
        engine = self._engine(request.identity_pool_id)
        engine.unlink_developer_identity(convert.unlink_request(request), deadline)
        return pb.UnlinkDeveloperIdentityResponse()

    def _admit(self, request: Any) -> tuple[Deadline, Row]:  # noqa: ANN401 - any of the requests
        call = current_call()
        call.request = request
        deadline = Deadline(self._clock, call.presented.waits_until)
        deadline.check()
        row = admission.granting_row(self._policy, call, request.identity_pool_id)
        check_limits(request)
        return deadline, row

    def _engine(self, identity_pool_id: str) -> Engine:
        engine = self._engines.get(identity_pool_id)
        if engine is None:
            raise ResourceNotFound.identity_pool(identity_pool_id)
        return engine
