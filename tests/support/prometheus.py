"""The programs of Prometheus, from Debian's package: it is unpacked into a cache, and not installed."""

import fcntl
import shutil
from pathlib import Path

from platformdirs import user_cache_path
from tests.clients.toolchains import ended, need, run

#: Part of the folder's name, to change when the way to create it changes.
_LAYOUT = "prometheus-deb"


def program(name: str) -> Path:
    """Returns `prometheus` or `promtool`: the machine's own, or else Debian's, which is fetched once per machine.

    Building them from the Go module takes five minutes of CPU time, this takes three seconds.
    """
    if found := shutil.which(name):
        return Path(found)
    root = user_cache_path("tokend-tests") / _LAYOUT
    there = root / "usr" / "bin" / name
    if not there.exists():
        root.mkdir(parents=True, exist_ok=True)
        with (root / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not there.exists():
                _fetch(root)
    return there


def _fetch(root: Path) -> None:
    apt_get, dpkg = (need(tool, "what needs Prometheus") for tool in ("apt-get", "dpkg-deb"))
    download = [apt_get, "-q", "download", "prometheus"]
    if ended(download, root).returncode:
        run([apt_get, "-q", "update"], root)  # the lists of packages are older than the package
        run(download, root)
    (package,) = root.glob("prometheus_*.deb")
    run([dpkg, "--extract", str(package), str(root)], root)
    package.unlink()
