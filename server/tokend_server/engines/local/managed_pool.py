"""Converts a pool that was created through Cognito's own API into a pool of the local engine."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tokend_server.config import Aws
from tokend_server.config.aws import ALGORITHM_OF_MANAGED_POOLS
from tokend_server.engines.configured_pools import SUPPORTED_LOGIN_PROVIDERS
from tokend_server.engines.local.claims import REGIONS_WITHOUT_IDENTITY_POOL_ARN
from tokend_server.engines.local.keys.jws import TokenType
from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.pool import LocalPool
from tokend_server.engines.local.principal_tags import tag_map
from tokend_server.engines.local.providers import LoginProvider, is_user_pool
from tokend_server.model import IdentityPool, pool_region

#: The ARN of a provider in IAM; the account is ignored, because clients without one omit it.
_PROVIDER_ARN = re.compile(r"arn:[\w-]+:iam::\d*:oidc-provider/(.+)", re.ASCII)


def managed_pool(
    pool: IdentityPool, settings: Aws, issuer: str, build_provider: Callable[..., LoginProvider]
) -> LocalPool:
    """Returns the pool as the local engine serves it.

    Args:
        pool: The pool as it was created.
        settings: The account in ARNs, and the providers that pools may refer to by ARN.
        issuer: The `iss` of its tokens.
        build_provider: Makes a provider from its name, its client ids, its issuer if it differs, and `skew`.
    """
    region = pool_region(pool.identity_pool_id)
    client_ids = client_ids_by_provider(pool, settings)
    return LocalPool(
        identity_pool_id=pool.identity_pool_id,
        developer_provider_name=pool.settings.get("DeveloperProviderName", ""),
        login_providers={name: _provider(name, ids, settings, build_provider) for name, ids in client_ids.items()},
        allow_unauthenticated_identities=pool.settings["AllowUnauthenticatedIdentities"],
        allow_classic_flow=pool.settings.get("AllowClassicFlow", True),  # as Cognito's API; its console disables it
        signing_algorithm=SigningAlgorithm(ALGORITHM_OF_MANAGED_POOLS),
        token_type=TokenType.JWS,
        account_id=settings.account_id,
        identity_pool_arn_claim=region not in REGIONS_WITHOUT_IDENTITY_POOL_ARN,
        issuer=issuer,
        tag_maps={name: tag_map(given) for name, given in pool.principal_tags.items()},
    )


def client_ids_by_provider(pool: IdentityPool, settings: Aws) -> Mapping[str, tuple[str, ...]]:
    """Returns the client ids of the pool's providers, by Logins key.

    Cognito reads the client ids of a provider with an ARN from IAM; here they are in the configuration.
    """
    found: dict[str, dict[str, None]] = {}
    for name, client_id in _applications(pool.settings, settings):
        if name != pool.settings.get("DeveloperProviderName"):
            found.setdefault(name, {})[client_id] = None
    return {name: tuple(client_ids) for name, client_ids in found.items()}


def _applications(given: Mapping[str, Any], settings: Aws) -> Iterator[tuple[str, str]]:
    for name, client_id in given.get("SupportedLoginProviders", {}).items():
        if name in SUPPORTED_LOGIN_PROVIDERS:
            yield name, client_id
    for user_pool in given.get("CognitoIdentityProviders", ()):
        if is_user_pool(name := user_pool.get("ProviderName", "")) and "ClientId" in user_pool:
            yield name, user_pool["ClientId"]
    for arn in given.get("OpenIdConnectProviderARNs", ()):
        matched = _PROVIDER_ARN.fullmatch(arn)
        if matched and (declared := settings.open_id_connect_providers.get(matched[1])):
            for client_id in declared.client_ids:
                yield matched[1], client_id


def _provider(
    name: str, client_ids: tuple[str, ...], settings: Aws, build_provider: Callable[..., LoginProvider]
) -> LoginProvider:
    declared = settings.declared_provider(name)
    return build_provider(name, client_ids, declared.issuer, skew=declared.clock_skew_seconds)
