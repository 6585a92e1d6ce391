"""The effect of a flood of JWKS requests on calls: `python -m tests.bench.jwks_flood`.

tokend runs on one core, and all clients on another. A caller makes calls at a low rate and then at half of the server's
capacity, each first alone and then during the flood, in turns over several rounds. Latencies count from the time a call
was due. The table has the medians of the rounds.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TypedDict

from tests.bench import serve_tokend
from tests.bench.fill import fill_sqlite, known_users
from tests.bench.machine import describe
from tests.bench.messages import PLACEHOLDER
from tests.bench.processes import Cores, cpu_seconds

SOURCE = Path(__file__).parent / "paced"
ALGORITHM = "RS512"
USERS = 1000
LIGHT_RATE = 50.0
CALLERS = 8
FLOOD_CONNECTIONS = 64

_COLUMNS = (
    "calls",
    "p50 quiet, ms",
    "p50 flooded, ms",
    "p99 quiet, ms",
    "p99 flooded, ms",
    "p99 ratio",
    "requests for keys a second",
    "server's CPU",
)


class Report(TypedDict):
    """The output of the paced client."""

    calls: int
    failures: dict[str, int]
    seconds: float
    p50_milliseconds: float
    p99_milliseconds: float
    max_milliseconds: float


@dataclass(frozen=True)
class Client:
    """A paced client for one kind of call.

    Attributes:
        binary: The built program.
        url: The URL that it calls.
        connections: Its number of connections, with one call in flight on each.
        body: The file with the body to post over gRPC; None to get a document over HTTP/1.1.
    """

    binary: Path
    url: str
    connections: int
    body: Path | None = None

    def begin(self, rate: float, seconds: float) -> subprocess.Popen[bytes]:
        """Starts calls at a rate; at 0, as fast as responses arrive."""
        command = [
            str(self.binary),
            f"-url={self.url}",
            f"-rate={rate}",
            f"-connections={self.connections}",
            f"-duration={seconds}s",
            *([f"-body={self.body}"] if self.body else []),
        ]
        return subprocess.Popen(command, stdout=subprocess.PIPE)

    def run(self, rate: float, seconds: float) -> Report:
        """Makes calls at a rate, and waits for the end.

        Raises:
            RuntimeError: A call failed.
        """
        return ended(self.begin(rate, seconds))


def ended(client: "subprocess.Popen[bytes]") -> Report:
    """Waits for a client's end, and returns its report.

    Raises:
        RuntimeError: A call failed.
    """
    output, _ = client.communicate()
    report: Report = json.loads(output)
    if report["failures"] or not report["calls"]:
        raise RuntimeError(f"{report['calls']} calls succeeded; failures: {report['failures']}")
    return report


@dataclass(frozen=True)
class Row:
    """One round of one rate of calls."""

    quiet: Report
    flooded: Report
    flood_rate: float
    server_cpu_share: float


def measure(server: int, caller: Client, flood: Client, rates: tuple[float, float], seconds: float) -> Row:
    """Measures one round: the caller alone, then during the flood; `rates` are the caller's and the flood's."""
    quiet = caller.run(rates[0], seconds)
    flooding = flood.begin(rates[1], seconds + 1)
    before = cpu_seconds(server)
    flooded = caller.run(rates[0], seconds)
    share = (cpu_seconds(server) - before) / flooded["seconds"]
    flood_report = ended(flooding)
    return Row(quiet, flooded, flood_report["calls"] / flood_report["seconds"], share)


def p50(report: Report) -> float:
    return report["p50_milliseconds"]


def p99(report: Report) -> float:
    return report["p99_milliseconds"]


def line(name: str, rows: list[Row]) -> str:
    """Formats the row of a rate of calls."""

    def of_both(milliseconds: Callable[[Report], float]) -> str:
        quiet = median(milliseconds(row.quiet) for row in rows)
        flooded = median(milliseconds(row.flooded) for row in rows)
        return f"{quiet:.1f} | {flooded:.1f}"

    ratio = median(p99(row.flooded) / p99(row.quiet) for row in rows)
    flood_rate = median(row.flood_rate for row in rows)
    cpu = median(row.server_cpu_share for row in rows)
    return f"| {name} | {of_both(p50)} | {of_both(p99)} | {ratio:.1f} | {flood_rate:,.0f} | {cpu:.0%} |"


def resident_mebibytes(pid: int) -> float:
    """Returns the resident memory of a process (proc_pid_status(5), VmRSS)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def results(directory: Path, rounds: int, seconds: float, flood_rate: float) -> str:
    cores = Cores.available()
    binary = directory / "paced"
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off"}
    subprocess.run(["go", "build", "-o", binary, "."], cwd=SOURCE, env=environment, check=True)
    url = fill_sqlite(directory / "tokend.db", known_users([serve_tokend.POOLS[ALGORITHM]], USERS))
    with serve_tokend.serving(directory, cores, url) as tokend:
        call = tokend.call(ALGORITHM, tokend.answer(ALGORITHM))
        body = directory / "call"
        body.write_bytes(call.body.replace(PLACEHOLDER.encode(), b"0" * len(PLACEHOLDER)))
        caller = Client(binary, call.url, CALLERS, body)
        flood = Client(binary, f"{tokend.issuer_url}/.well-known/jwks.json", FLOOD_CONNECTIONS)
        most = caller.run(0, seconds)
        rates = {"light": LIGHT_RATE, "half load": most["calls"] / most["seconds"] / 2}
        before = resident_mebibytes(tokend.pid)
        rows: dict[str, list[Row]] = {name: [] for name in rates}
        for _ in range(rounds):
            for name, rate in rates.items():
                rows[name].append(measure(tokend.pid, caller, flood, (rate, flood_rate), seconds))
        after = resident_mebibytes(tokend.pid)
    lines = [line(f"{name}, {rates[name]:,.0f}/s", rows[name]) for name in rates]
    return "\n".join(
        [
            f"Medians of {rounds} rounds of {seconds:g} s. {describe(directory)}",
            f"RSS {before:.0f} MiB before, {after:.0f} MiB after.",
            "",
            f"| {' | '.join(_COLUMNS)} |",
            "|---" * len(_COLUMNS) + "|",
            *lines,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.jwks_flood", description="Floods the issuer listener.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of calls, for each case and round")
    parser.add_argument("--rate", type=float, default=5000.0, help="of the flood, a second; 0: as fast as answers come")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit ends the server, a kill would not
    with TemporaryDirectory(prefix="tokend-bench-") as directory:
        sys.stdout.write(results(Path(directory), options.rounds, options.seconds, options.rate))


if __name__ == "__main__":
    main()
