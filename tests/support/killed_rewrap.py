"""A `tokend keys rewrap` that is killed `before N`, `in N` or `after N`: around the change of its N-th key."""

import os
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

from tokend_server.__main__ import main
from tokend_server.engines.local.stores.sql.store import SqlStore


class _Moment:
    def __init__(self, moment: str) -> None:
        self._where, number = moment.split()
        self._left = int(number)

    def replace(self, replace_material: Callable[..., None], store: SqlStore, *arguments: Any) -> None:  # noqa: ANN401
        self._left -= 1
        self.kill_if_at("before")
        write = store._database.write  # noqa: SLF001 - within its transaction
        store._database.write = partial(self._write, write)  # type: ignore[method-assign] # noqa: SLF001
        replace_material(store, *arguments)
        self.kill_if_at("after")

    def kill_if_at(self, where: str) -> None:
        if where == self._where and not self._left:
            os.kill(os.getpid(), signal.SIGKILL)

    def _write(self, write: Callable[..., Any], work: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401
        def killed(connection: object) -> Any:  # noqa: ANN401
            done = work(connection)
            self.kill_if_at("in")
            return done

        return write(killed, *arguments)


if __name__ == "__main__":
    moment, replace_material = _Moment(os.environ.pop("KILLED")), SqlStore.replace_material
    SqlStore.replace_material = lambda *arguments: moment.replace(replace_material, *arguments)  # type: ignore[method-assign]
    main()
