from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tokend_server.arns import identity_pool_arn, partition_of
from tokend_server.engines.local.keys.jws import TokenType
from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.principal_tags import TagMap
from tokend_server.engines.local.providers import LoginProvider
from tokend_server.model import pool_region


@dataclass(frozen=True)
class LocalPool:
    """An identity pool that the local engine serves.

    Attributes:
        identity_pool_id: REGION:GUID.
        developer_provider_name: The Logins key for developer users.
        login_providers: The public providers whose ID tokens are accepted, by Logins key.
        signing_algorithm: The signing algorithm of its tokens.
        token_type: The `typ` of their headers.
        account_id: The AWS account in ARNs, 12 digits.
        identity_pool_arn_claim: Whether tokens carry the pool's ARN.
        issuer: The `iss` of its tokens.
        allow_unauthenticated_identities: Whether devices may create guests, and use them without logins.
        allow_classic_flow: Whether devices may get tokens, and not only credentials.
        tag_maps: The claims of a public provider's ID tokens that become principal tags, by Logins key.
    """

    identity_pool_id: str
    developer_provider_name: str
    login_providers: Mapping[str, LoginProvider]
    signing_algorithm: SigningAlgorithm
    token_type: TokenType
    account_id: str
    identity_pool_arn_claim: bool
    issuer: str
    allow_unauthenticated_identities: bool = False
    allow_classic_flow: bool = False
    tag_maps: Mapping[str, TagMap] = field(default_factory=dict)

    @cached_property
    def region(self) -> str:
        return pool_region(self.identity_pool_id)

    @cached_property
    def partition(self) -> str:
        """The partition in ARNs, by Region."""
        return partition_of(self.region)

    @cached_property
    def arn(self) -> str:
        """The Amazon Resource Name of the pool."""
        return identity_pool_arn(self.identity_pool_id, self.account_id)
