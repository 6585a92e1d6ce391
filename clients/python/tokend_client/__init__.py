"""The client of tokend: typed calls, and token sources that refresh themselves."""

from tokend_client.async_cache import AsyncTokenCache
from tokend_client.async_client import AsyncClient
from tokend_client.async_source import AsyncTokenSource
from tokend_client.auth import TokenAuthMetadataPlugin, token_call_credentials
from tokend_client.bearer import BearerToken
from tokend_client.cache import TokenCache
from tokend_client.channel import service_config, tls_credentials
from tokend_client.client import Client
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
from tokend_client.model import LookupResult, Token, TokenRequest
from tokend_client.policy import CachingPolicy
from tokend_client.source import TokenSource

__all__ = [
    "AsyncClient",
    "AsyncTokenCache",
    "AsyncTokenInterceptor",
    "AsyncTokenSource",
    "BearerToken",
    "CachingPolicy",
    "Client",
    "Clock",
    "Closed",
    "ErrorReason",
    "FieldViolation",
    "Forked",
    "LookupResult",
    "NoToken",
    "Resource",
    "Token",
    "TokenAuthMetadataPlugin",
    "TokenCache",
    "TokenInterceptor",
    "TokenRequest",
    "TokenSource",
    "TokendError",
    "downstream_code",
    "service_config",
    "tls_credentials",
    "token_call_credentials",
]
