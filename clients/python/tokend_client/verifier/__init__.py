"""Verifies the tokens of callers: in a gRPC server, in an ASGI application, or with `TokenVerifier`.

Requires the extra `verifier`.
"""

from tokend_client.verifier.asgi import IdentityMiddleware
from tokend_client.verifier.grpc_server import HEALTH_METHODS, AsyncIdentityInterceptor, IdentityInterceptor
from tokend_client.verifier.identity import VerifiedIdentity, current_identity
from tokend_client.verifier.issuer_keys import IssuerKeys, KeyTimes
from tokend_client.verifier.rejections import KeysUnavailable, NotVerified, TokenRejected
from tokend_client.verifier.token_verifier import TokenVerifier

__all__ = [
    "HEALTH_METHODS",
    "AsyncIdentityInterceptor",
    "IdentityInterceptor",
    "IdentityMiddleware",
    "IssuerKeys",
    "KeyTimes",
    "KeysUnavailable",
    "NotVerified",
    "TokenRejected",
    "TokenVerifier",
    "VerifiedIdentity",
    "current_identity",
]
