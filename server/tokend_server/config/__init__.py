"""The configuration from tokend.toml and the environment, with a report of all its problems at once.

A setting is read from the environment (`TOKEND_` + section + `_` + name), else from the file, else it has its default.
"""

from tokend_server.config.access import Audit, CallerLimitSettings, Callers, JwtIssuer, Limits, PolicySettings
from tokend_server.config.addresses import host_and_port, is_local
from tokend_server.config.aws import Aws
from tokend_server.config.configuration import Config, environment_variables
from tokend_server.config.fields import Section
from tokend_server.config.key_times import KeyTimes
from tokend_server.config.keys import Keys
from tokend_server.config.listeners import Grpc, Guard, Listener
from tokend_server.config.loading import load_config
from tokend_server.config.mesh import ExtAuthz, ExtAuthzMapping, TagValue, VerifiedValue, WantedTokenSettings
from tokend_server.config.pools import (
    EMBEDDED_DEVELOPER_PROVIDER,
    EMBEDDED_POOL_ID,
    Cognito,
    OpenIdConnectProvider,
    Pool,
    Store,
)
from tokend_server.config.sds import Sds, SdsToken
from tokend_server.config.service import Issuer, Log, Ops

__all__ = [
    "EMBEDDED_DEVELOPER_PROVIDER",
    "EMBEDDED_POOL_ID",
    "Audit",
    "Aws",
    "CallerLimitSettings",
    "Callers",
    "Cognito",
    "Config",
    "ExtAuthz",
    "ExtAuthzMapping",
    "Grpc",
    "Guard",
    "Issuer",
    "JwtIssuer",
    "KeyTimes",
    "Keys",
    "Limits",
    "Listener",
    "Log",
    "OpenIdConnectProvider",
    "Ops",
    "PolicySettings",
    "Pool",
    "Sds",
    "SdsToken",
    "Section",
    "Store",
    "TagValue",
    "VerifiedValue",
    "WantedTokenSettings",
    "environment_variables",
    "host_and_port",
    "is_local",
    "load_config",
]
