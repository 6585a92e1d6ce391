"""A `tokend` that is killed, as if from outside, at the point of a key change in DYING_AT."""

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from unittest import mock

from sqlalchemy import Engine, event

from tokend_server.__main__ import main
from tokend_server.config import Keys
from tokend_server.engines.local.keys import verifier_watch
from tokend_server.engines.local.keys.opening import KeysByMethod
from tokend_server.engines.local.stores.sql.store import SqlStore

VARIABLE = "DYING_AT"

#: Seconds between two reads of the keys and of the records about verifiers, so that it dies soon.
_REFRESH = 0.05


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def instead_of(owner: type, name: str) -> Callable[[], object]:
    """Dies before the call of the method."""
    return lambda: mock.patch.object(owner, name, die).start()


def after(owner: type, name: str) -> Callable[[], object]:
    """Dies after the call of the method."""
    method = getattr(owner, name)

    def call(*arguments: object, **named: object) -> None:
        method(*arguments, **named)
        die()

    return lambda: mock.patch.object(owner, name, call).start()


def before_commit(statement: str) -> Callable[[], object]:
    """Dies after the statement, before the end of its transaction."""

    def watch(*arguments: object) -> None:
        if str(arguments[2]).startswith(statement):
            die()

    return lambda: event.listen(Engine, "after_cursor_execute", watch)


#: The points of each step of `tokend serve`, in order.
STEPS: Mapping[str, Callable[[], object]] = {
    "add: before a key is made": instead_of(KeysByMethod, "generate"),
    "add: before it is kept": instead_of(SqlStore, "add_signing_key"),
    "add: before it is durable": before_commit("INSERT INTO signing_keys"),
    "add: when it is durable": after(SqlStore, "add_signing_key"),
    "remove: before it is removed": instead_of(SqlStore, "remove_signing_key"),
    "remove: before it is gone": before_commit("DELETE FROM signing_keys"),
    "remove: when it is gone": instead_of(KeysByMethod, "discard"),
}

#: The points of the step in which `tokend serve` has a key sign that every verifier has, in order.
EARLY_BEGINNING: Mapping[str, Callable[[], object]] = {
    "before it is kept": instead_of(SqlStore, "replace_signs_from"),
    "before it is durable": before_commit("UPDATE signing_keys"),
    "when it is durable": after(SqlStore, "replace_signs_from"),
}

#: The points of `tokend keys rotate --compromised`, in order.
REPLACEMENT: Mapping[str, Callable[[], object]] = {
    "before the new key is durable": STEPS["add: before it is durable"],
    "between the new key and the old": STEPS["add: when it is durable"],
    "before the old key is gone": STEPS["remove: before it is gone"],
    "when the old key is gone": STEPS["remove: when it is gone"],
}

#: The value of the variable with which the server is not killed.
NEVER = "never"


if __name__ == "__main__":
    times = Keys.times.fget  # type: ignore[attr-defined] # it is a property of the class
    mock.patch.object(Keys, "times", property(lambda keys: replace(times(keys), refresh=_REFRESH))).start()
    mock.patch.object(verifier_watch, "INTERVAL", _REFRESH).start()
    points = {**STEPS, **EARLY_BEGINNING, **REPLACEMENT}
    if (point := os.environ[VARIABLE]) != NEVER:
        points[point]()
    main()
