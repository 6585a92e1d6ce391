"""The parameters of a token, and the request of the contract for it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from google.protobuf.duration_pb2 import Duration

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server.model import Secret


class WantedToken(NamedTuple):
    """The parameters of a token for a proxied request, or for a workload itself.

    Attributes:
        identity_pool_id: REGION:GUID.
        developer_provider_name: The developer provider of the pool.
        user: The developer user identifier.
        principal_tags: Session tags for the token.
        token_duration_seconds: Its duration; None for the policy's maximum, but at most the default.
    """

    identity_pool_id: str
    developer_provider_name: str
    user: Secret
    principal_tags: Mapping[str, str] = MappingProxyType({})
    token_duration_seconds: int | None = None

    def to_request(self) -> pb.GetOpenIdTokenForDeveloperIdentityRequest:
        """Returns the request that a caller with an SDK would send for it."""
        seconds = self.token_duration_seconds
        return pb.GetOpenIdTokenForDeveloperIdentityRequest(
            identity_pool_id=self.identity_pool_id,
            logins={self.developer_provider_name: self.user.reveal()},
            principal_tags=self.principal_tags,
            token_duration=None if seconds is None else Duration(seconds=seconds),
        )
