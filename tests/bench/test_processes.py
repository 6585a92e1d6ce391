"""The cores and the CPU time of the benchmark's processes."""

import os
import sys
from pathlib import Path

from tests.bench.processes import Cores, family_cpu_seconds, running, wait_until

#: Has a child do some work, and waits to be ended.
PARENT = f"""
import subprocess, sys, time
child = [{sys.executable!r}, "-c", "import time\\nwhile time.process_time() < 0.3: pass"]
subprocess.run(child, check=True)
print("done", flush=True)
time.sleep(600)
"""


def test_a_server_has_its_core_and_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    cores, log = Cores(server=min(before), load=max(before)), tmp_path / "log"
    with running([sys.executable, "-c", PARENT], cores, log) as process:
        assert os.sched_getaffinity(process.pid) == {cores.server}
        assert os.sched_getaffinity(0) == {cores.load}
    assert os.sched_getaffinity(0) == before


def test_the_cpu_time_of_ended_children_counts(tmp_path: Path) -> None:
    cores, log = Cores.available(), tmp_path / "log"
    with running([sys.executable, "-c", PARENT], cores, log) as process:
        wait_until(lambda: "done" in log.read_text(), process, log)
        assert family_cpu_seconds(process.pid) >= 0.3
