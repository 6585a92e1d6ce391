import math
from collections.abc import Mapping

import grpc
from google.protobuf.message import Message

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceServicer
from tokend_server.clock import Clock, Deadline
from tokend_server.engine import Engine
from tokend_server.errors import ResourceNotFound
from tokend_server.rpc import convert
from tokend_server.rpc.validation import check_limits

#: Seconds (some thirty years) above which a caller has no deadline: gRPC gives a caller who set none 10^18 or more.
_LONGEST_WAIT = 10**9


class DeveloperIdentityService(DeveloperIdentityServiceServicer):
    """Checks requests, finds the engine of their pool, and speaks protobuf on its behalf.

    Args:
        engines: The engines by identity pool id; a pool that is not here does not exist.
        clock: What callers' deadlines are measured with.
    """

    def __init__(self, engines: Mapping[str, Engine], clock: Clock) -> None:
        self._engines = engines
        self._clock = clock

    def GetOpenIdTokenForDeveloperIdentity(  # noqa: N802 - the contract's name
        self, request: pb.GetOpenIdTokenForDeveloperIdentityRequest, context: grpc.ServicerContext
    ) -> pb.GetOpenIdTokenForDeveloperIdentityResponse:
        deadline = self._admit(request, context)
        engine = self._engine(request.identity_pool_id)
        return convert.token_response(
            engine.get_open_id_token_for_developer_identity(convert.token_request(request), deadline)
        )

    def LookupDeveloperIdentity(  # noqa: N802 - the contract's name
        self, request: pb.LookupDeveloperIdentityRequest, context: grpc.ServicerContext
    ) -> pb.LookupDeveloperIdentityResponse:
        deadline = self._admit(request, context)
        engine = self._engine(request.identity_pool_id)
        return convert.lookup_response(engine.lookup_developer_identity(convert.lookup_request(request), deadline))

    def MergeDeveloperIdentities(  # noqa: N802 - the contract's name
        self, request: pb.MergeDeveloperIdentitiesRequest, context: grpc.ServicerContext
    ) -> pb.MergeDeveloperIdentitiesResponse:
        deadline = self._admit(request, context)
        engine = self._engine(request.identity_pool_id)
        identity_id = engine.merge_developer_identities(convert.merge_request(request), deadline)
        return pb.MergeDeveloperIdentitiesResponse(identity_id=identity_id)

    def UnlinkDeveloperIdentity(  # noqa: N802 - the contract's name
        self, request: pb.UnlinkDeveloperIdentityRequest, context: grpc.ServicerContext
    ) -> pb.UnlinkDeveloperIdentityResponse:
        deadline = self._admit(request, context)
        engine = self._engine(request.identity_pool_id)
        engine.unlink_developer_identity(convert.unlink_request(request), deadline)
        return pb.UnlinkDeveloperIdentityResponse()

    def _admit(self, request: Message, context: grpc.ServicerContext) -> Deadline:
        remaining = context.time_remaining()
        waits_for_ever = remaining > _LONGEST_WAIT
        deadline = Deadline(self._clock, math.inf if waits_for_ever else self._clock.monotonic() + remaining)
        deadline.check()
        check_limits(request)
        return deadline

    def _engine(self, identity_pool_id: str) -> Engine:
        engine = self._engines.get(identity_pool_id)
        if engine is None:
            raise ResourceNotFound.identity_pool(identity_pool_id)
        return engine
