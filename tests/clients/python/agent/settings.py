"""Configurations of an agent."""

from pathlib import Path
from typing import Any

from tokend_client.testing import FakeTokendServer

#: Whom the tokens are for: a login, which must be seen nowhere.
USER = "alice-who-is-never-shown"


def document(server: FakeTokendServer, directory: Path, **changes: object) -> dict[str, Any]:
    """One with the token `orders` in the file `token` of a directory; `changes` are of that token."""
    return {
        "tokend": {"endpoint": server.endpoint, "plaintext": True},
        "health": {"listen": "127.0.0.1:0"},
        "tokens": [token(server, directory / "token", **changes)],
    }


def token(server: FakeTokendServer, file: Path, **changes: object) -> dict[str, Any]:
    """A table of `[[tokens]]`."""
    return {
        "name": "orders",
        "file": str(file),
        "identity_pool_id": server.identity_pool_id,
        "logins": {server.developer_provider_name: USER},
        **changes,
    }
