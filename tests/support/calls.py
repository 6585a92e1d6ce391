"""One-line calls of the contract."""

from collections.abc import Mapping
from typing import Protocol

import grpc

from tokend.v1.developer_identity_service_pb2 import (
    GetOpenIdTokenForDeveloperIdentityRequest,
    GetOpenIdTokenForDeveloperIdentityResponse,
)
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub


class Endpoint(Protocol):
    endpoint: str
    identity_pool_id: str
    developer_provider_name: str


class Caller:
    """A backend with a channel to one server."""

    def __init__(self, server: Endpoint) -> None:
        self._server = server
        # A separate connection: by default, gRPC shares one among equal channels.
        self.channel = grpc.insecure_channel(server.endpoint, options=[("grpc.use_local_subchannel_pool", 1)])
        self.stub = DeveloperIdentityServiceStub(self.channel)

    def get_token(
        self, user: str, public: Mapping[str, str] | None = None, *, timeout: float = 30
    ) -> GetOpenIdTokenForDeveloperIdentityResponse:
        request = GetOpenIdTokenForDeveloperIdentityRequest(
            identity_pool_id=self._server.identity_pool_id,
            logins={self._server.developer_provider_name: user, **(public or {})},
        )
        return self.stub.GetOpenIdTokenForDeveloperIdentity(request, timeout=timeout)

    def close(self) -> None:
        self.channel.close()


def get_token(
    channel: grpc.Channel, identity_pool_id: str, logins: dict[str, str], identity_id: str = ""
) -> GetOpenIdTokenForDeveloperIdentityResponse:
    request = GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=identity_pool_id, logins=logins, identity_id=identity_id
    )
    return DeveloperIdentityServiceStub(channel).GetOpenIdTokenForDeveloperIdentity(request, timeout=30)
