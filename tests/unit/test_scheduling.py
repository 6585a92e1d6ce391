"""A worker of pytest-xdist that crashes, for example by a fault in gRPC's C code."""

import subprocess
import sys
from pathlib import Path

from tests.clients.toolchains import ROOT

CRASHES = """
import os

def test_before():
    pass

def test_crash():
    os._exit(1)
"""


def test_a_crashed_worker_fails_its_test_and_the_run_ends(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"test_{name}.py").write_text(CRASHES, encoding="utf-8")
    options = ["-n", "1", "-p", "tests.scheduling", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml")]
    command = [sys.executable, "-m", "pytest", "-q", *options, f"--rootdir={tmp_path}", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1, ended.stdout
    assert "crashed while running 'test_a.py::test_crash'" in ended.stdout
