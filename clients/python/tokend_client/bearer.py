"""Authentication of calls to tokend by a bearer token."""

import codecs
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import grpc

#: The source of a client's token, used again for each call: a file, or a function that any thread may call.
BearerToken: TypeAlias = Path | Callable[[], str]

#: The end of the URL of gRPC's health service.
_HEALTH = "/grpc.health.v1.Health"

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


def bearer_call_credentials(bearer_token: BearerToken) -> grpc.CallCredentials:
    """Credentials that send `authorization: Bearer TOKEN` (RFC 6750, section 2.1). Each call reads the token again.

    A call for which there is no token fails with UNAVAILABLE, and is not sent.
    """
    return grpc.metadata_call_credentials(_BearerTokenPlugin(bearer_token), name="bearer token")


class _BearerTokenPlugin(grpc.AuthMetadataPlugin):
    def __init__(self, bearer_token: BearerToken) -> None:
        self._bearer_token = bearer_token

    def __call__(self, context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback) -> None:
        try:
            token = _read_token(self._bearer_token)
        except Exception as error:  # noqa: BLE001 - whatever it is, the call has to end
            # A failed health watch would make calls wait without reporting the cause.
            callback((), None if context.service_url.endswith(_HEALTH) else error)
        else:
            callback((("authorization", f"Bearer {token}"),), None)


def _read_token(bearer_token: BearerToken) -> str:
    found = _read_file(bearer_token) if isinstance(bearer_token, Path) else bearer_token()
    token = found.strip()
    if not _TOKEN.fullmatch(token):
        source = str(bearer_token) if isinstance(bearer_token, Path) else "the function"
        raise ValueError(f"no bearer token from {source}")
    return token


def _read_file(path: Path) -> str:
    # Some editors write a byte-order mark first. Latin-1 decodes any octet; a decoding error would contain the
    # content.
    return path.read_bytes().removeprefix(codecs.BOM_UTF8).decode("latin-1")
