"""Builds of projects in other languages, which are kept in the machine's cache."""

import fcntl
import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from platformdirs import user_cache_path


def cached_build(
    name: str, project: Path, files: Sequence[Path], is_built: Callable[[Path], bool], build: Callable[[Path], None]
) -> Path:
    """Returns a directory with a copy of a project's files, which is built once per machine.

    Args:
        name: The first part of the directory's name; the second is a digest of the files.
        project: The directory of the project.
        files: Its files.
        is_built: Returns whether a directory has all that its build makes.
        build: Builds the project in a directory.
    """
    root = user_cache_path("tokend-tests") / f"{name}-{_digest(project, files)}"
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_built(root):
            for path in files:
                copy = root / path.relative_to(project)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)
            build(root)
    return root


def _digest(project: Path, files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(project)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
