"""Removes the identities of pools that were deleted, and then what is left of the pools."""

import logging

from tokend_server.clock import Clock
from tokend_server.config.key_times import CLOCK_SKEW
from tokend_server.engines.local.kept_pools import deleted_at
from tokend_server.engines.local.store import Store
from tokend_server.errors import TokendError

#: Seconds between two looks.
INTERVAL = 60.0

#: Seconds after its deletion from when no server has a pool for there any more, and no call that has begun before: two
#: minutes, whichever server's clock says so.
SETTLED_AFTER = 120 + CLOCK_SKEW

#: Identities that are read at once.
_PAGE = 100

_log = logging.getLogger(__name__)


def remove_deleted_pools(store: Store, clock: Clock) -> None:
    """Removes the identities of deleted pools for good.

    Every replica does so; that another one was faster is no harm. What remains of a pool itself is removed when nothing
    can be added to it any more.
    """
    try:
        for kept in store.kept_pools():
            since = deleted_at(kept)
            if since is None:
                continue
            _remove_identities(store, kept.identity_pool_id)
            if since + SETTLED_AFTER <= clock.now():
                store.forget_pool(kept)
    except TokendError as error:  # it may also be one that lasts until an operator acts
        extra = {"error": error.text, "advice": error.advice}
        _log.warning("identities of deleted pools are yet to be removed", extra=extra)


def _remove_identities(store: Store, identity_pool_id: str) -> None:
    while page := store.identities(identity_pool_id, max_results=_PAGE, after=None, hide_disabled=False):
        for identity in page:
            store.delete(identity.identity_id)
