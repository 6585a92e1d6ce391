"""Helm, which is built once per machine from its Go module."""

import fcntl
import os
import shutil
from pathlib import Path

from platformdirs import user_cache_path
from tests.clients.toolchains import need, run

HELM = "v4.3.1"

#: Options that minimize the CPU time of the build. As those of the run are the same (pyproject.toml), Go's library is
#: compiled once for both.
_BUILD = ["-gcflags=all=-N -l -dwarf=false", "-ldflags=-s -w"]


def helm() -> Path:
    """Returns the machine's Helm, or else builds one, which takes three minutes of CPU time without a cache."""
    if found := shutil.which("helm"):
        return Path(found)
    root = user_cache_path("tokend-tests") / f"helm-{HELM}"
    program = root / "helm"
    if not program.exists():
        root.mkdir(parents=True, exist_ok=True)
        with (root / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not program.exists():
                go = need("go", "the chart")
                command = [go, "install", *_BUILD, f"helm.sh/helm/v4/cmd/helm@{HELM}"]
                run(command, root, {**os.environ, "GOBIN": str(root)})
    return program
