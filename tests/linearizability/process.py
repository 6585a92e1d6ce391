"""Makes calls on a store that other processes also use: `python -m tests.linearizability.process URL`.

It reads rounds from standard input, a JSON line each: the identity pool, the start time, and for each thread its calls
with the seconds to pause before each use of the store. It prints the results, a JSON line per round.
"""

import json
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import cycle
from typing import Any

from tests.linearizability.calls import Call, Engines, answer
from tests.linearizability.model import engines

from tokend_server.config import Config
from tokend_server.config import Store as StoreSettings
from tokend_server.engines.local.store import Store
from tokend_server.engines.local.stores.opening import open_store


class PausingStore:
    """A store that pauses before each use, so that other processes can use it in between."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.of_thread = threading.local()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any of the store's methods
        method = getattr(self._store, name)

        def pausing(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - handed on as they are
            time.sleep(next(self.of_thread.pauses))
            return method(*arguments, **options)

        return pausing


def make_calls(
    serving: Engines, store: PausingStore, identity_pool_id: str, begin: float, work: dict[str, Any]
) -> list[list[Any]]:
    """Makes the calls of one thread, and returns the result and the times of each."""
    pauses: Iterator[float] = cycle(work["pauses"])
    store.of_thread.pauses = pauses
    time.sleep(max(0.0, begin - time.monotonic()))
    made = []
    for described in work["calls"]:
        began = time.monotonic_ns()
        answered = answer(serving, identity_pool_id, Call(**described))
        made.append([described, answered, began, time.monotonic_ns()])
    return made


def run_rounds(store: PausingStore, lines: Iterator[str], threads: ThreadPoolExecutor) -> None:
    for line in lines:
        asked = json.loads(line)
        pool: str = asked["identity_pool_id"]
        serving = engines(pool, store, lambda: str(uuid.uuid4()))
        futures = [threads.submit(make_calls, serving, store, pool, asked["begin"], work) for work in asked["threads"]]
        events = [event for future in futures for event in future.result()]
        sys.stdout.write(f"{json.dumps(events)}\n")
        sys.stdout.flush()


def main(arguments: Sequence[str]) -> None:
    config = Config(store=StoreSettings(url=arguments[0]))
    with closing(open_store(config)) as store, ThreadPoolExecutor(8) as threads:
        run_rounds(PausingStore(store), iter(sys.stdin), threads)


if __name__ == "__main__":
    main(sys.argv[1:])
