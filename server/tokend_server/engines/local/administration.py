"""Operators' commands for identities outside the contract, equivalent to Cognito's operations of the same names."""

import re
from collections.abc import Callable, Sequence

from tokend_server.clock import Clock, Deadline
from tokend_server.engines.local.outcomes import Situation, refusal
from tokend_server.engines.local.paging import page_token, parse_page_token
from tokend_server.engines.local.store import Change, IdentityStore
from tokend_server.errors import ResourceNotFound
from tokend_server.model import Identity, IdentityPage, ListRequest, pool_region

#: The ids that every store can look up: a forged page token may contain any bytes.
_ID = re.compile(rb"[\x21-\x7e]{1,55}")


class IdentityAdministration:
    """Creates, shows and deletes identities of one pool.

    Args:
        identity_pool_id: The pool.
        store: The store of its identities.
        clock: The clock.
        new_guid: Generates the GUID of a new identity id.
    """

    def __init__(self, identity_pool_id: str, store: IdentityStore, clock: Clock, new_guid: Callable[[], str]) -> None:
        self._identity_pool_id = identity_pool_id
        self._store = store
        self._clock = clock
        self._new_guid = new_guid

    def create(self) -> Identity:
        """Creates a guest, which becomes authenticated when a login is linked to it."""
        now = int(self._clock.now())
        region = pool_region(self._identity_pool_id)
        guest = Identity(f"{region}:{self._new_guid()}", self._identity_pool_id, now, now)
        self._store.commit(Change(None, guest), deadline=Deadline(self._clock))
        return guest

    def describe(self, identity_id: str) -> Identity:
        """Returns an identity.

        Raises:
            ResourceNotFound: The pool has none of that id.
        """
        identity = self._store.read(self._identity_pool_id, (), identity_id).named
        if identity is None:
            raise ResourceNotFound.identity(identity_id)
        return identity

    def list(self, *, max_results: int, next_token: str | None, hide_disabled: bool) -> IdentityPage:
        """As `page_of_identities`."""
        request = ListRequest(self._identity_pool_id, max_results, next_token, hide_disabled)
        return page_of_identities(self._store, request)

    def delete(self, identity_id: str) -> None:
        """Deletes an identity permanently; its users then count as new.

        Raises:
            ResourceNotFound: The pool has none of that id.
        """
        self.describe(identity_id)
        if not self._store.delete(identity_id):
            raise ResourceNotFound.identity(identity_id)


def page_of_identities(store: IdentityStore, request: ListRequest) -> IdentityPage:
    """Returns a page of a pool's identities, ordered by id.

    Raises:
        InvalidParameter: `next_token` was not issued for this pool and this `hide_disabled`.
    """
    pool_id, hide_disabled = request.identity_pool_id, request.hide_disabled
    scope = ("identities", pool_id, str(hide_disabled))
    after = None if request.next_token is None else _last_id(request.next_token, scope)
    max_results = request.max_results
    found = store.identities(pool_id, max_results=max_results + 1, after=after, hide_disabled=hide_disabled)
    page = tuple(found[:max_results])
    more = len(found) > max_results
    return IdentityPage(page, page_token(page[-1].identity_id.encode(), *scope) if more else None)


def _last_id(next_token: str, scope: Sequence[str]) -> str:
    last = parse_page_token(next_token, *scope)
    if not _ID.fullmatch(last):
        raise refusal(Situation.FOREIGN_NEXT_TOKEN, "")
    return last.decode("ascii")
