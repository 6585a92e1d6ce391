"""Telling tokend who calls, by a bearer token."""

import codecs
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import grpc

#: Where the token of a client comes from, for each call again: a file, or a function that may be called by any thread.
BearerToken: TypeAlias = Path | Callable[[], str]

#: The end of the URL of gRPC's health service.
_HEALTH = "/grpc.health.v1.Health"

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


def bearer_call_credentials(bearer_token: BearerToken) -> grpc.CallCredentials:
    """Credentials that send `authorization: Bearer TOKEN` (RFC 6750, section 2.1), as they find it at each call.

    A call for which there is no token fails with UNAVAILABLE, and is not sent.
    """
    return grpc.metadata_call_credentials(_BearerTokenPlugin(bearer_token), name="bearer token")


class _BearerTokenPlugin(grpc.AuthMetadataPlugin):
    def __init__(self, bearer_token: BearerToken) -> None:
        self._bearer_token = bearer_token

    def __call__(self, context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback) -> None:
        try:
            token = _current(self._bearer_token)
        except Exception as error:  # noqa: BLE001 - whatever it is, the call has to end
            # Calls would wait for a watch of the service's health that has failed, and not tell why.
            callback((), None if context.service_url.endswith(_HEALTH) else error)
        else:
            callback((("authorization", f"Bearer {token}"),), None)


def _current(bearer_token: BearerToken) -> str:
    found = _read(bearer_token) if isinstance(bearer_token, Path) else bearer_token()
    token = found.strip()
    if not _TOKEN.fullmatch(token):
        source = str(bearer_token) if isinstance(bearer_token, Path) else "the function"
        raise ValueError(f"{source} gives no bearer token")
    return token


def _read(path: Path) -> str:
    # Editors may put a byte-order mark before it. Latin-1 reads every octet, and an error of decoding would carry the
    # content.
    return path.read_bytes().removeprefix(codecs.BOM_UTF8).decode("latin-1")
