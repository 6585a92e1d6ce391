"""Operations of tests on an open store."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

from tests.contracts.store_contract import POOL, login

from tokend_server.clock import Deadline, SystemClock
from tokend_server.engines.local.store import Change, Store
from tokend_server.errors import EngineUnavailable
from tokend_server.model import Identity

#: Opens the store of a URL, with additional settings.
Opened: TypeAlias = Callable[..., Store]

#: Seconds after which a store that responds again must be usable.
BACK_WITHIN = 5.0

_CLOCK = SystemClock()


def deadline_in(seconds: float) -> Deadline:
    return Deadline(_CLOCK, _CLOCK.monotonic() + seconds)


def create(store: Store, created: Identity, deadline: Deadline | None = None) -> None:
    store.commit(Change(None, created), deadline=deadline or deadline_in(30))


def owner(store: Store, user: str, deadline: Deadline | None = None) -> str | None:
    return store.owners(POOL, [login(user)], deadline)[0]


def until_back(call: Callable[[], object]) -> None:
    """Retries a call until it succeeds, like callers."""
    until = time.monotonic() + BACK_WITHIN
    while time.monotonic() < until:
        with suppress(EngineUnavailable):
            call()
            return
        time.sleep(0.05)
    call()
