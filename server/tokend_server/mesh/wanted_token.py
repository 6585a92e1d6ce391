"""Which token is wanted, and the request of the contract that asks for it."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import NamedTuple

from google.protobuf.duration_pb2 import Duration

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server.model import Secret


class WantedToken(NamedTuple):
    """A token that a proxy is to have for a request, or a workload for itself.

    Attributes:
        identity_pool_id: REGION:GUID.
        developer_provider_name: The pool's.
        user: The developer user identifier.
        principal_tags: Session tags for the token.
        token_duration: How long it is to be valid; None for as long as the policy allows, at most the default.
    """

    identity_pool_id: str
    developer_provider_name: str
    user: Secret
    principal_tags: Mapping[str, str] = MappingProxyType({})
    token_duration: timedelta | None = None

    def to_request(self) -> pb.GetOpenIdTokenForDeveloperIdentityRequest:
        """The request that a caller with an SDK would send for it."""
        duration = None if self.token_duration is None else Duration(seconds=int(self.token_duration.total_seconds()))
        return pb.GetOpenIdTokenForDeveloperIdentityRequest(
            identity_pool_id=self.identity_pool_id,
            logins={self.developer_provider_name: self.user.reveal()},
            principal_tags=self.principal_tags,
            token_duration=duration,
        )
