"""What tests fetch or build once per machine."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from platformdirs import user_cache_path


def cached_program(name: str, pattern: str, make: Callable[[Path], None]) -> Path:
    """Returns the path of a program, or of another file, that is made once per machine.

    Args:
        name: The name of its directory, which contains its version.
        pattern: A glob pattern of its path in the directory.
        make: Fills an empty directory, which moves afterwards.
    """
    (program,) = cached(name, make, lambda directory: any(directory.glob(pattern))).glob(pattern)
    return program


def cached(name: str, make: Callable[[Path], None], is_usable: Callable[[Path], bool]) -> Path:
    """Returns a directory, which one process makes while others wait.

    Args:
        name: The name of the directory, which contains the version of what is in it.
        make: Fills an empty directory, which moves afterwards.
        is_usable: Returns whether the directory exists and need not be made again.
    """
    cache = user_cache_path("tokend-tests", ensure_exists=True)
    directory = cache / name
    if not is_usable(directory):
        with (cache / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_usable(directory):
                shutil.rmtree(directory, ignore_errors=True)
                with tempfile.TemporaryDirectory(dir=cache) as temporary:
                    unfinished = Path(temporary) / "unfinished"
                    unfinished.mkdir()
                    make(unfinished)
                    os.replace(unfinished, directory)  # noqa: PTH105 - whole, or not there
    return directory


def cached_build(
    name: str,
    project: Path,
    files: Sequence[Path],
    build: Callable[[Path], None],
    is_usable: Callable[[Path], bool],
) -> Path:
    """Returns a directory with a copy of a project's files, which is built once per machine.

    Args:
        name: The first part of the directory's name; the second is a digest of the files.
        project: The directory of the project.
        files: Its files.
        build: Builds the project in a directory, which moves afterwards.
        is_usable: Returns whether the directory exists and need not be built again.
    """

    def build_copies(directory: Path) -> None:
        for path in files:
            copy = directory / path.relative_to(project)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        build(directory)

    return cached(f"{name}-{_digest(project, files)}", build_copies, is_usable)


def _digest(project: Path, files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(project)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
