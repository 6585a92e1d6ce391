"""Converts between pools and their documents in the store."""

from collections.abc import Mapping
from typing import Any

import orjson

from tokend_server.engines.local.store import KeptPool
from tokend_server.model import IdentityPool, NumericDate

_DELETED_AT = "deleted_at"


def document_of(pool: IdentityPool) -> bytes:
    """Returns the document of a pool."""
    return orjson.dumps(
        {
            "settings": dict(pool.settings),
            "tags": dict(pool.tags),
            "roles": dict(pool.roles),
            "principal_tags": dict(pool.principal_tags),
        }
    )


def document_of_deleted(now: NumericDate) -> bytes:
    """Returns the document of a deleted pool, which is stored until its identities are removed too."""
    return orjson.dumps({_DELETED_AT: now})


def pool_of(kept: KeptPool | None) -> IdentityPool | None:
    """Returns the pool; None if it was deleted or does not exist."""
    if kept is None or _DELETED_AT in (members := _members(kept)):
        return None
    return IdentityPool(kept.identity_pool_id, **members)


def deleted_at(kept: KeptPool) -> NumericDate | None:
    """Returns the time at which the pool was deleted; None if it was not."""
    return _members(kept).get(_DELETED_AT)


def _members(kept: KeptPool) -> Mapping[str, Any]:
    members: Mapping[str, Any] = orjson.loads(kept.document)
    return members
