"""The identity pools of the configuration, in the format of Cognito's DescribeIdentityPool."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from tokend_server.arns import partition_of
from tokend_server.clock import Deadline
from tokend_server.config import Pool
from tokend_server.config.pools import Roles
from tokend_server.errors import ResourceNotFound
from tokend_server.model import IdentityPool

#: The providers that Cognito configures by application id rather than as OpenID Connect providers.
SUPPORTED_LOGIN_PROVIDERS = frozenset({"accounts.google.com", "appleid.apple.com"})

_USER_POOL = "cognito-idp."


class ConfiguredPools:
    """The `IdentityPools` of a configuration.

    Args:
        pools: The pools by id.
    """

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self._by_id = {pool_id: described(pool_id, pool) for pool_id, pool in sorted(pools.items())}

    def __contains__(self, identity_pool_id: object) -> bool:
        return identity_pool_id in self._by_id

    def describe(self, identity_pool_id: str, deadline: Deadline) -> IdentityPool:
        deadline.check()
        if identity_pool_id not in self._by_id:
            raise ResourceNotFound.identity_pool(identity_pool_id)
        return self._by_id[identity_pool_id]

    def list(self, region: str, max_results: int, after: str, deadline: Deadline) -> Sequence[IdentityPool]:
        deadline.check()
        own = (pool for pool_id, pool in self._by_id.items() if pool_id.startswith(f"{region}:") and pool_id > after)
        return [*islice(own, max_results)]


def described(identity_pool_id: str, pool: Pool) -> IdentityPool:
    """Returns a pool in Cognito's format, without the members that Cognito would omit."""
    providers = {name: provider.client_ids for name, provider in pool.open_id_connect_providers.items()}
    applications = {
        name: ids[0] for name, ids in providers.items() if name in SUPPORTED_LOGIN_PROVIDERS and not ids[1:]
    }
    user_pools = {name: ids for name, ids in providers.items() if name.startswith(_USER_POOL)}
    account = f"arn:{partition_of(identity_pool_id.partition(':')[0])}:iam::{pool.account_id}"
    settings: dict[str, Any] = {
        "IdentityPoolName": pool.name or pool.developer_provider_name,
        "AllowUnauthenticatedIdentities": pool.allow_unauthenticated_identities,
        "AllowClassicFlow": pool.allow_classic_flow,
        "SupportedLoginProviders": applications,
        "DeveloperProviderName": pool.developer_provider_name,
        "OpenIdConnectProviderARNs": [
            f"{account}:oidc-provider/{name}" for name in providers if name not in applications.keys() | user_pools
        ],
        "CognitoIdentityProviders": [*_user_pool_clients(user_pools)],
    }
    given = {name: value for name, value in settings.items() if value not in ({}, [])}
    return IdentityPool(identity_pool_id, given, roles=_roles(pool.roles, [pool.developer_provider_name, *providers]))


def _roles(roles: Roles, provider_names: Iterable[str]) -> Mapping[str, Any]:
    """Returns the members of SetIdentityPoolRoles; the rules apply to every provider."""
    named = {"authenticated": roles.authenticated, "unauthenticated": roles.unauthenticated}
    rules = [
        {"Claim": rule.claim, "MatchType": rule.match, "Value": rule.value, "RoleARN": rule.role_arn}
        for rule in roles.rules
    ]
    mapping = {
        "Type": "Rules",
        "AmbiguousRoleResolution": roles.ambiguous_role_resolution,
        "RulesConfiguration": {"Rules": rules},
    }
    members = {
        "Roles": {name: arn for name, arn in named.items() if arn},
        "RoleMappings": dict.fromkeys(provider_names, mapping) if rules else {},
    }
    return {name: member for name, member in members.items() if member}


def _user_pool_clients(user_pools: Mapping[str, Sequence[str]]) -> Iterator[Mapping[str, object]]:
    for name, client_ids in user_pools.items():
        for client_id in client_ids:
            yield {"ProviderName": name, "ClientId": client_id, "ServerSideTokenCheck": False}
