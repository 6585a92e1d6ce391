"""The programs of Prometheus, from Debian's package: it is unpacked into a cache, and not installed."""

import shutil
from pathlib import Path

from tests.clients.toolchains import ended, need, run
from tests.support.machine_cache import cached_program


def program(name: str) -> Path:
    """Returns `prometheus` or `promtool`: the machine's own, or else Debian's, which is fetched once per machine.

    Building them from the Go module takes five minutes of CPU time, this takes three seconds.
    """
    if found := shutil.which(name):
        return Path(found)
    return cached_program("prometheus-deb", f"usr/bin/{name}", _fetch)


def _fetch(directory: Path) -> None:
    apt_get, dpkg = (need(tool, "what needs Prometheus") for tool in ("apt-get", "dpkg-deb"))
    download = [apt_get, "-q", "download", "prometheus"]
    if ended(download, directory).returncode:
        run([apt_get, "-q", "update"], directory)  # the lists of packages are older than the package
        run(download, directory)
    (package,) = directory.glob("prometheus_*.deb")
    run([dpkg, "--extract", str(package), str(directory)], directory)
    package.unlink()
