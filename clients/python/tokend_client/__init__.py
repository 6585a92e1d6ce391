"""The client of tokend: typed calls, and tokens that stay fresh by themselves."""

from tokend_client.async_cache import AsyncTokenCache
from tokend_client.async_client import AsyncTokendClient
from tokend_client.async_source import AsyncTokenSource
from tokend_client.auth import TokenAuthMetadataPlugin, token_call_credentials
from tokend_client.bearer import BearerToken
from tokend_client.cache import TokenCache
from tokend_client.channel import service_config, tls_credentials
from tokend_client.client import TokendClient
from tokend_client.clock import Clock
from tokend_client.errors import (
    Closed,
    ErrorReason,
    FieldViolation,
    Forked,
    Resource,
    TokendError,
    downstream_code,
)
from tokend_client.interceptors import AsyncTokenInterceptor, NoToken, TokenInterceptor
from tokend_client.model import DeveloperIdentity, OpenIdToken, TokenRequest
from tokend_client.policy import CachingPolicy
from tokend_client.source import TokenSource

__all__ = [
    "AsyncTokenCache",
    "AsyncTokenInterceptor",
    "AsyncTokenSource",
    "AsyncTokendClient",
    "BearerToken",
    "CachingPolicy",
    "Clock",
    "Closed",
    "DeveloperIdentity",
    "ErrorReason",
    "FieldViolation",
    "Forked",
    "NoToken",
    "OpenIdToken",
    "Resource",
    "TokenAuthMetadataPlugin",
    "TokenCache",
    "TokenInterceptor",
    "TokenRequest",
    "TokenSource",
    "TokendClient",
    "TokendError",
    "downstream_code",
    "service_config",
    "tls_credentials",
    "token_call_credentials",
]
