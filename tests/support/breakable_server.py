"""A `tokend` whose threads a test can end or block. Run as a module, it has the same arguments.

The file in the variable BREAK contains the command. `end PATTERN` ends the threads with matching names, by an
unexpected error at their next step, and writes a log record. `hold` blocks gRPC's serving thread at its next event.
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
    """An unexpected error."""


def _obey(orders: Path, is_blocked: threading.Event) -> None:
    while not orders.exists():
        time.sleep(_INTERVAL)
    kind, _, pattern = orders.read_text(encoding="utf-8").partition(" ")
    if kind == "hold":
        is_blocked.set()
        return
    for thread in threading.enumerate():
        if re.fullmatch(pattern, thread.name) and thread.ident:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(_Broken))
    logging.getLogger(__name__).warning("threads will end: %s", pattern)


def _holding(process: Callable[..., bool], is_blocked: threading.Event) -> Callable[..., bool]:
    def processed(*arguments: object) -> bool:
        if is_blocked.is_set():
            threading.Event().wait()
        return process(*arguments)

    return processed


if __name__ == "__main__":
    is_blocked = threading.Event()
    _server._process_event_and_continue = _holding(_server._process_event_and_continue, is_blocked)  # noqa: SLF001
    # Signals are for the thread that waits for them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    threading.Thread(target=_obey, args=(Path(os.environ["BREAK"]), is_blocked), name="breaker", daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    main()
