"""`tokend serve` that is killed, as if from outside, at a point of a step of its keys, which DYING_AT names."""

import os
import signal
from collections.abc import Callable, Mapping
from unittest import mock

from sqlalchemy import Engine, event

from tokend_server.__main__ import main
from tokend_server.config import Keys, KeyTimes
from tokend_server.engines.local.keys.opening import KeysByMethod
from tokend_server.engines.local.stores.sql.store import SqlStore

VARIABLE = "DYING_AT"

#: How often it reads the keys, in seconds: it is to die soon.
_REFRESH = 0.05


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def instead_of(owner: type, name: str) -> Callable[[], object]:
    """It dies where it would call the method."""
    return lambda: mock.patch.object(owner, name, die).start()


def after(owner: type, name: str) -> Callable[[], object]:
    """It dies when the method has done its work."""
    method = getattr(owner, name)

    def call(*arguments: object, **named: object) -> None:
        method(*arguments, **named)
        die()

    return lambda: mock.patch.object(owner, name, call).start()


def before_commit(statement: str) -> Callable[[], object]:
    """It dies when the statement was executed, and its transaction has not ended."""

    def watch(*arguments: object) -> None:
        if str(arguments[2]).startswith(statement):
            die()

    return lambda: event.listen(Engine, "after_cursor_execute", watch)


#: The points of each step, in order.
POINTS: Mapping[str, Callable[[], object]] = {
    "add: before a key is made": instead_of(KeysByMethod, "generate"),
    "add: before it is kept": instead_of(SqlStore, "add_signing_key"),
    "add: before it is durable": before_commit("INSERT INTO signing_keys"),
    "add: when it is durable": after(SqlStore, "add_signing_key"),
    "remove: before it is removed": instead_of(SqlStore, "remove_signing_key"),
    "remove: before it is gone": before_commit("DELETE FROM signing_keys"),
    "remove: when it is gone": instead_of(KeysByMethod, "discard"),
}


if __name__ == "__main__":
    mock.patch.object(Keys, "times", KeyTimes(refresh=_REFRESH)).start()
    POINTS[os.environ[VARIABLE]]()
    main()
