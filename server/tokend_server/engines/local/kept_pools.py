"""What the store keeps of a pool, and the way between that and the pool."""

from collections.abc import Mapping
from typing import Any

import orjson

from tokend_server.engines.local.store import KeptPool
from tokend_server.model import IdentityPool, NumericDate

_DELETED_AT = "deleted_at"


def document_of(pool: IdentityPool) -> bytes:
    """What is kept of a pool."""
    return orjson.dumps(
        {
            "settings": dict(pool.settings),
            "tags": dict(pool.tags),
            "roles": dict(pool.roles),
            "principal_tags": dict(pool.principal_tags),
        }
    )


def document_of_deleted(now: NumericDate) -> bytes:
    """What is kept of a pool that was deleted then, until its identities are gone too."""
    return orjson.dumps({_DELETED_AT: now})


def pool_of(kept: KeptPool | None) -> IdentityPool | None:
    """The pool; None where it was deleted, or there is none."""
    members = {} if kept is None else _members(kept)
    if kept is None or _DELETED_AT in members:
        return None
    return IdentityPool(kept.identity_pool_id, **members)


def deleted_at(kept: KeptPool) -> NumericDate | None:
    """When the pool was deleted; None for one that is there."""
    return _members(kept).get(_DELETED_AT)


def _members(kept: KeptPool) -> Mapping[str, Any]:
    members: Mapping[str, Any] = orjson.loads(kept.document)
    return members
