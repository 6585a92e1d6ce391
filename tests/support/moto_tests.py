"""moto's own tests, which only its source distribution contains: it is unpacked into a cache."""

import fcntl
import os
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

from platformdirs import user_cache_path
from tests.clients.toolchains import need, run


def moto_tests() -> Path:
    """Returns the directory with the package `tests` of the installed moto; it is fetched once per machine."""
    release = f"moto-{version('moto')}"
    root = user_cache_path("tokend-tests") / f"{release}-tests"
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / release).exists():
            _fetch(root, release)
    return root / release


def _fetch(root: Path, release: str) -> None:
    with tempfile.TemporaryDirectory(dir=root) as name:
        download = [
            need("uv", "moto's tests"),
            "tool",
            "run",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--no-binary",
            "moto",
        ]
        run([*download, release.replace("-", "==")], Path(name))
        (archive,) = Path(name).glob("*.tar.gz")
        with tarfile.open(archive) as opened:
            opened.extractall(name, filter="data")
        os.replace(Path(name) / release, root / release)  # noqa: PTH105 - whole, or not there
