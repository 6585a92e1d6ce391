"""`tokend serve` with a clock and key times set by the test, as JSON in the variable KEY_ROTATIONS."""

import json
import os
import time
from typing import Any
from unittest import mock

from tokend_server.__main__ import main
from tokend_server.clock import SystemClock
from tokend_server.config import Keys, KeyTimes
from tokend_server.engines.local.keys.task import KeyTask

VARIABLE = "KEY_ROTATIONS"


def changed(*, times: dict[str, Any], ahead: float, refreshes: bool) -> None:
    """Changes the server that is about to start.

    Args:
        times: The key times.
        ahead: The seconds by which its wall clock is ahead of the machine's.
        refreshes: Whether it follows the keys of the store.
    """
    mock.patch.object(Keys, "times", KeyTimes(**times)).start()
    mock.patch.object(SystemClock, "now", staticmethod(lambda: time.time() + ahead)).start()
    if not refreshes:
        mock.patch.object(KeyTask, "run_due_steps").start()


if __name__ == "__main__":
    changed(**json.loads(os.environ[VARIABLE]))
    main()
