"""Configurations of an agent."""

from pathlib import Path
from typing import Any

from tokend_client.testing import FakeTokendServer

#: The user of the tokens: a login, which must not appear anywhere.
USER = "alice-who-is-never-shown"


def document(server: FakeTokendServer, directory: Path, **changes: object) -> dict[str, Any]:
    """Returns a configuration with the token `orders` in `directory/token`; `changes` apply to that token."""
    return {
        "tokend": {"endpoint": server.endpoint, "plaintext": True},
        "health": {"listen": "127.0.0.1:0"},
        "tokens": [token(server, directory / "token", **changes)],
    }


def token(server: FakeTokendServer, file: Path, **changes: object) -> dict[str, Any]:
    """Returns a table of `[[tokens]]`."""
    return {
        "name": "orders",
        "file": str(file),
        "identity_pool_id": server.identity_pool_id,
        "logins": {server.developer_provider_name: USER},
        **changes,
    }
