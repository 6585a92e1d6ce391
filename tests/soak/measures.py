"""Samples of a server's resources, and their growth."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import MappingProxyType

#: Which part of a run is warm-up, and which parts after it are compared.
_WARM_UP, _WINDOW = 1 / 4, 1 / 3


@dataclass(frozen=True)
class Sample:
    """The resources of a process at one time.

    Attributes:
        threads: The number of threads.
        descriptors: The number of open descriptors.
        memory_kib: Its private memory, without pages of files.
    """

    threads: int
    descriptors: int
    memory_kib: int


#: How far the least of the last window may be above the least of the first one.
_ALLOWED: Mapping[str, Callable[[int], float]] = MappingProxyType(
    {
        "threads": lambda before: before + 1,
        "descriptors": lambda before: before + 4,
        "memory_kib": lambda before: 1.05 * before + 8192,
    }
)


def sample(pid: int) -> Sample:
    """Returns the current resources of a process."""
    process = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text(encoding="ascii").splitlines())
    return Sample(
        int(status["Threads"]), len(list((process / "fd").iterdir())), int(status["RssAnon"].removesuffix("kB"))
    )


@dataclass(frozen=True)
class Growth:
    """A figure after the warm-up and at the end: the minimum of each window, since leaks are never released."""

    name: str
    before: int
    after: int

    @property
    def is_fault(self) -> bool:
        """Reports whether it exceeds random variation."""
        return self.after > _ALLOWED[self.name](self.before)


def growth(samples: Sequence[Sample]) -> Sequence[Growth]:
    """Returns the growth of each figure over a run."""
    settled = [astuple(each) for each in samples[int(len(samples) * _WARM_UP) :]]
    size = max(1, int(len(settled) * _WINDOW))
    firsts, lasts = zip(*settled[:size], strict=True), zip(*settled[-size:], strict=True)
    return [
        Growth(field.name, min(first), min(last))
        for field, first, last in zip(fields(Sample), firsts, lasts, strict=True)
    ]
