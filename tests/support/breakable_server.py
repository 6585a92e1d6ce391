"""`tokend` whose threads a test can end or hold up: run as a module, it takes the same arguments.

The order stands in the file that the variable BREAK names. `end PATTERN` ends the threads whose names match, by an
error that nothing foresees, when they next do something; the log gets a line to write. `hold` has gRPC's serving thread
stand still at its next event.
"""

import ctypes
import logging
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from grpc import _server

from tokend_server.__main__ import main

_INTERVAL = 0.02

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


class _Broken(BaseException):
    """What no thread foresees."""


def _obey(orders: Path, held: threading.Event) -> None:
    while not orders.exists():
        time.sleep(_INTERVAL)
    kind, _, pattern = orders.read_text(encoding="utf-8").partition(" ")
    if kind == "hold":
        held.set()
        return
    for thread in threading.enumerate():
        if re.fullmatch(pattern, thread.name) and thread.ident:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(_Broken))
    logging.getLogger(__name__).warning("threads will end: %s", pattern)


def _holding(process: Callable[..., bool], held: threading.Event) -> Callable[..., bool]:
    def processed(*arguments: object) -> bool:
        if held.is_set():
            threading.Event().wait()
        return process(*arguments)

    return processed


if __name__ == "__main__":
    held = threading.Event()
    _server._process_event_and_continue = _holding(_server._process_event_and_continue, held)  # noqa: SLF001
    # The signals are for the thread that waits for them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    threading.Thread(target=_obey, args=(Path(os.environ["BREAK"]), held), name="breaker", daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    main()
