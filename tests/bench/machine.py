"""The properties of the machine that affect the figures, without its name."""

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median


def describe(directory: Path) -> str:
    """Describes the processor, the versions, and the disk of a directory, in a sentence each."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("grpcio", "cryptography", "moto"))
    return (
        f"{_cpu_model()}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}. "
        f"One fsync of the store's disk takes {_fsync_milliseconds(directory):.1f} ms."
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _fsync_milliseconds(directory: Path) -> float:
    """Returns the median over 50 appended pages, the minimum cost of a durable commit."""
    times = []
    with (directory / "fsync").open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(bytes(4096))
            begin = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - begin)
    return median(times) * 1000
