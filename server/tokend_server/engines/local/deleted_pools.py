"""Removes the identities of deleted pools, and then the records of the pools themselves."""

import logging

from tokend_server.clock import Clock
from tokend_server.config.key_times import CLOCK_SKEW
from tokend_server.engines.local.kept_pools import deleted_at
from tokend_server.engines.local.store import Store
from tokend_server.errors import TokendError

#: Seconds between two runs.
INTERVAL = 60.0

#: Seconds after the deletion of a pool after which no server has it in its cache and no earlier call is still running:
#: two minutes by the clock of any server.
REMOVAL_DELAY = 120 + CLOCK_SKEW

#: The number of identities that are read at once.
_PAGE = 100

_log = logging.getLogger(__name__)


def remove_deleted_pools(store: Store, clock: Clock) -> None:
    """Removes the identities of deleted pools permanently.

    Every replica does this, and concurrent runs are harmless. The record of a pool is removed when no identity can be
    added to it any more.
    """
    try:
        for kept in store.kept_pools():
            since = deleted_at(kept)
            if since is None:
                continue
            _remove_identities(store, kept.identity_pool_id)
            if since + REMOVAL_DELAY <= clock.now():
                store.forget_pool(kept)
    except TokendError as error:  # including a LastingError
        extra = {"error": error.text, "advice": error.advice}
        _log.warning("identities of deleted pools could not be removed", extra=extra)


def _remove_identities(store: Store, identity_pool_id: str) -> None:
    while page := store.identities(identity_pool_id, max_results=_PAGE, after=None, hide_disabled=False):
        for identity in page:
            store.delete(identity.identity_id)
