"""Compares a server after an hour with its start: `python -m tests.bench.endurance [--minutes 60]`.

It is loaded at a share of its capacity, for random ones of many users. Each minute all connections are new, its signing
key is replaced at once, and it reloads its configuration.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import jwt
from tests.bench import serve_tokend
from tests.bench.fill import fill_sqlite, known_users
from tests.bench.generator import Generator, Sample, build
from tests.bench.machine import describe
from tests.bench.processes import Cores
from tests.soak.measures import Sample as Resources
from tests.soak.measures import sample as resources_of
from tests.support.tokend import run

from tokend.v1.developer_identity_service_pb2 import GetOpenIdTokenForDeveloperIdentityResponse

RESULTS = Path(__file__).parent / "ENDURANCE.md"
PICTURE = RESULTS.with_suffix(".svg")

ALGORITHM = "ES256"

#: Of the calls that a server answers in a second.
LOAD = 0.8

_WIDTH, _HEIGHT, _MARGIN = 640, 90, 24


@dataclass(frozen=True)
class Minute:
    """A minute of load: the cost of its calls, and the resources of the process at its end."""

    sample: Sample
    resources: Resources


#: The figures of each minute.
SERIES: Mapping[str, Callable[[Minute], float]] = {
    "CPU, µs/call": lambda minute: minute.sample.server_cpu_microseconds,
    "p99, ms": lambda minute: minute.sample.p99_milliseconds,
    "memory of its own, MiB": lambda minute: minute.resources.memory_kib / 1024,
    "descriptors": lambda minute: minute.resources.descriptors,
    "threads": lambda minute: minute.resources.threads,
}


def measure(directory: Path, minutes: int, users: int, seconds: float = 60) -> Sequence[Minute]:
    """Loads a server for some minutes of this many seconds each.

    Raises:
        RuntimeError: A call failed, or a token does not verify with the published keys.
    """
    generator, cores = Generator(build(directory), directory, known_users=users // 2), Cores.available()
    url = fill_sqlite(directory / "tokend.db", known_users(serve_tokend.POOLS.values(), users // 2))
    taken = []
    with serve_tokend.serving(directory, cores, url) as tokend, ThreadPoolExecutor(1) as beside:
        call = tokend.call(ALGORITHM, tokend.answer(ALGORITHM))
        fastest = tokend.sample(generator, call, min(seconds, 10))
        paced = replace(call, calls_per_second=LOAD * fastest.calls_per_second)
        for number in range(minutes):
            changed = beside.submit(_change, directory / "tokend.toml", tokend)
            sample = tokend.sample(generator, paced, seconds)
            changed.result()
            taken.append(Minute(sample, resources_of(tokend.pid)))
            sys.stderr.write(f"minute {number + 1} of {minutes}: {sample.calls:,} calls\n")
    return taken


def _change(config: Path, tokend: serve_tokend.Tokend) -> None:
    answer = GetOpenIdTokenForDeveloperIdentityResponse.FromString(tokend.answer(ALGORITHM))
    key_id = jwt.get_unverified_header(answer.token)["kid"]
    done = run("keys", "rotate", "--config", str(config), "--compromised", key_id)
    if done.returncode:
        raise RuntimeError(f"The key was not replaced: {done.stderr}")
    os.kill(tokend.pid, signal.SIGHUP)


def table(minutes: Sequence[Minute]) -> str:
    """Formats the first and the last minute, and the extremes between, as a Markdown table."""
    lines = ["| | first minute | last minute | least | most |", "|---|---:|---:|---:|---:|"]
    for name, value in SERIES.items():
        values = [value(minute) for minute in minutes]
        lines.append(f"| {name} | {values[0]:,.1f} | {values[-1]:,.1f} | {min(values):,.1f} | {max(values):,.1f} |")
    return "\n".join(lines)


def picture(minutes: Sequence[Minute]) -> str:
    """Draws a line for each series, from 0 to its maximum, as SVG."""
    height = len(SERIES) * (_HEIGHT + _MARGIN)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="sans-serif">']
    for place, (name, value) in enumerate(SERIES.items()):
        values = [value(minute) for minute in minutes]
        bottom, most = (place + 1) * (_HEIGHT + _MARGIN), max(values)
        step = _WIDTH / max(1, len(values) - 1)
        points = " ".join(
            f"{number * step:.1f},{bottom - _HEIGHT * each / (most or 1):.1f}" for number, each in enumerate(values)
        )
        parts += [
            f'<text x="0" y="{bottom - _HEIGHT - 6}" font-size="13">{name}: 0 to {most:,.1f}</text>',
            f'<polyline points="{points}" fill="none" stroke="#1565c0" stroke-width="1.5"/>',
        ]
    return "\n".join([*parts, "</svg>\n"])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.endurance", description="Load a server for long.")
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--users", type=int, default=1_000_000)
    options = parser.parse_args()
    try:
        with TemporaryDirectory(prefix="tokend-bench-") as directory:
            minutes = measure(Path(directory), options.minutes, options.users)
            machine = describe(Path(directory))
    except RuntimeError as error:
        sys.exit(str(error))
    text = (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {options.minutes} minutes at {LOAD:.0%} of what the server can do, "
        f"{options.users:,} users, {ALGORITHM}; each minute new connections, a new key at once, a reload; no call "
        f"failed. {machine}\n\n{table(minutes)}\n\n![each minute]({PICTURE.name})\n"
    )
    RESULTS.write_text(text)
    PICTURE.write_text(picture(minutes))
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
