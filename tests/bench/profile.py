"""The CPU time of a call by library: `python -m tests.bench.profile [CASE]`. Requires perf of Linux."""

import argparse
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench import serve_floor, serve_tokend
from tests.bench.fill import fill_sqlite, known_users
from tests.bench.generator import Call, Generator, Sample, build
from tests.bench.processes import Cores

USERS = 100_000

#: The algorithm of each case, and whether its users are new.
CASES = {"ES256": ("ES256", False), "RS512": ("RS512", False), "RS512-new": ("RS512", True)}

#: The work of a library or of the kernel, by the prefix of its file name.
PARTS = {
    "libpython": "Python's interpreter",
    "[kernel": "the kernel: network, threads, files",
    "cygrpc": "gRPC",
    "_rust": "the signature (cryptography)",
    "libc.": "memory and strings (libc)",
    "libsqlite3": "SQLite",
    "_message": "protobuf",
    "libcrypto": "digests (hashlib)",
}
OTHERS = "others"


def by_part(report: str, microseconds: float) -> Mapping[str, float]:
    """Returns the CPU time of a call by part, in microseconds.

    Args:
        report: The output of `perf report --sort dso`: a share in percent and the name of a file in each line.
        microseconds: The CPU time of a call.
    """
    found = dict.fromkeys([*PARTS.values(), OTHERS], 0.0)
    for share, name in re.findall(r"^\s+([\d.]+)%\s+(\S+)", report, re.MULTILINE):
        part = next((part for prefix, part in PARTS.items() if name.startswith(prefix)), OTHERS)
        found[part] += float(share) / 100 * microseconds
    return found


def measure(directory: Path, case: str, rounds: int, seconds: float) -> Mapping[str, Mapping[str, float]]:
    """Loads tokend and the floor in turns, and returns the parts of both, as means over the rounds.

    Raises:
        RuntimeError: perf is not installed, or a call failed.
    """
    algorithm, new_users = CASES[case]
    perf = shutil.which("perf")
    if perf is None:
        raise RuntimeError("There is no perf (Debian: linux-perf).")
    generator, cores = Generator(build(directory), directory, known_users=USERS), Cores.available()
    url = fill_sqlite(directory / "tokend.db", known_users(serve_tokend.POOLS.values(), USERS))
    with ExitStack() as stack:
        tokend = stack.enter_context(serve_tokend.serving(directory, cores, url))
        answer = tokend.answer(algorithm)
        call = tokend.call(algorithm, answer)
        floor = stack.enter_context(serve_floor.serving(directory, cores, algorithm, call, answer))
        targets = {"tokend": (tokend.pid, replace(call, new_users=new_users)), "floor": floor}
        for pid, warmed in targets.values():
            generator.sample(warmed, pid, seconds)
        taken: dict[str, list[Mapping[str, float]]] = {name: [] for name in targets}
        for _ in range(rounds):
            for name, (pid, loaded) in targets.items():
                taken[name].append(_parts(perf, directory, generator, pid, loaded, seconds))
    return {
        name: {part: sum(each[part] for each in of_rounds) / rounds for part in of_rounds[0]}
        for name, of_rounds in taken.items()
    }


def table(parts: Mapping[str, Mapping[str, float]]) -> str:
    """Formats the parts of both and their differences, the largest first, as a Markdown table."""
    tokend, floor = parts["tokend"], parts["floor"]
    lines = ["| µs of CPU a call | tokend | floor | added |", "|---|---:|---:|---:|"]
    lines += [
        f"| {part} | {tokend[part]:,.0f} | {floor[part]:,.0f} | {tokend[part] - floor[part]:,.0f} |"
        for part in sorted(tokend, key=lambda part: floor[part] - tokend[part])
    ]
    whole = sum(tokend.values()), sum(floor.values())
    lines.append(f"| together | {whole[0]:,.0f} | {whole[1]:,.0f} | {whole[0] - whole[1]:,.0f} |")
    return "\n".join(lines)


def _parts(  # noqa: PLR0913, PLR0917 - what is loaded, and by what
    perf: str, directory: Path, generator: Generator, pid: int, call: Call, seconds: float
) -> Mapping[str, float]:
    data = directory / "perf.data"
    with _recorded(perf, data, pid):
        sample: Sample = generator.sample(call, pid, seconds)
    command = [perf, "report", "-i", str(data), "--stdio", "--sort", "dso"]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return by_part(report, sample.server_cpu_microseconds)


@contextmanager
def _recorded(perf: str, data: Path, pid: int) -> Iterator[None]:
    command = [perf, "record", "-q", "-e", "cpu-clock", "-F", "2000", "-o", str(data), "-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as recording:
        try:
            yield
        finally:
            recording.send_signal(signal.SIGINT)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profile", description="Profile a call.")
    parser.add_argument("case", nargs="?", choices=CASES, default="ES256")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    try:
        with TemporaryDirectory(prefix="tokend-bench-") as directory:
            text = table(measure(Path(directory), options.case, options.rounds, options.seconds))
    except RuntimeError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
