"""moto's own tests, which only its source distribution contains."""

import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

from tests.clients.toolchains import need, run
from tests.support.machine_cache import cached_program


def moto_tests() -> Path:
    """Returns the directory with the package `tests` of the installed moto; it is fetched once per machine."""
    release = f"moto-{version('moto')}"
    return cached_program(f"{release}-tests", release, lambda directory: _fetch(release, directory))


def _fetch(release: str, directory: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        download = [need("uv", "moto's tests"), "tool", "run", "pip", "download", "--quiet", "--no-deps"]
        run([*download, "--no-binary", "moto", release.replace("-", "==")], Path(name))
        (archive,) = Path(name).glob("*.tar.gz")
        with tarfile.open(archive) as opened:
            opened.extractall(directory, filter="data")
