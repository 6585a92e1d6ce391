"""The formats of files."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType

from tokend_client.model import Token


def _format_token(token: Token) -> bytes:
    # Without a newline: readers such as the AWS SDKs send the content unchanged.
    return token.value.encode()


def _format_json(token: Token) -> bytes:
    times = {"issue_time": token.issue_time, "expire_time": token.expire_time, "refresh_time": token.refresh_time}
    members = {
        "identity_id": token.identity_id,
        "token": token.value,
        **{name: rfc3339(time) for name, time in times.items() if time is not None},
    }
    return json.dumps(members).encode() + b"\n"


def rfc3339(time: datetime) -> str:
    """Returns a time in UTC in whole seconds (RFC 3339)."""
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")


#: By the setting `format`.
FORMATS: Mapping[str, Callable[[Token], bytes]] = MappingProxyType({"token": _format_token, "json": _format_json})
