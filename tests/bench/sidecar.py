"""The latency that ext_authz adds to requests through one Envoy, and tokend's cost: `python -m tests.bench.sidecar`.

Envoy, with clients/envoy/ext_authz.yaml and one worker, calls tokend over mutual TLS for each request of some users,
and responds to allowed requests itself, so that no called service is in the figures. The same requests with ext_authz
disabled on their route are the baseline: the step is the difference. A client keeps the rates, and counts latencies
from the time a request was due. tokend has one core, and Envoy and the client share another. Each rate has new users,
so their first tokens are issued in the first round; the table has the medians of the rounds. A second table has the
latency at the first rate with servers without any logic in tokend's place, in the same rounds.
"""

import argparse
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import yaml  # type: ignore[import-untyped] # it has no types
from prometheus_client.utils import floatToGoString
from tests.bench import serve_check_floors
from tests.bench.jwks_flood import SOURCE, Client, Report, p50, p99
from tests.bench.machine import describe
from tests.bench.processes import Cores, cpu_seconds, on_core
from tests.envoy.examples import Envoy
from tests.envoy.outbound import Site, site
from tests.support.metric_samples import total

from tokend_server.mesh.authorization import SERVICE_NAME
from tokend_server.metrics import SECONDS_BUCKETS

RATES = (200.0, 1000.0)
USERS = 50
CONNECTIONS = 32

_WITH, _WITHOUT = "/with", "/without"

_EXT_AUTHZ = "envoy.filters.http.ext_authz"

_COLUMNS = (
    "requests a second",
    "p50 without, ms",
    "p50 with, ms",
    "p99 without, ms",
    "p99 with, ms",
    "added to p99, ms",
    "in tokend, mean ms",
    "in tokend, p99 at most ms",
    "calls of tokend",
    "signatures",
    "without a signature",
    "tokend's CPU, µs a request",
    "Envoy's CPU added, µs a request",
)


@dataclass(frozen=True)
class Costs:
    """The costs so far.

    Attributes:
        calls: Calls that tokend has answered.
        signatures: Tokens that it has signed.
        tokend: Its CPU time, in seconds.
        envoy: Envoy's CPU time, in seconds.
        handling: The total handling time of tokend's calls, in seconds.
        within: How many calls were handled within seconds, by its histogram.
    """

    calls: float
    signatures: float
    tokend: float
    envoy: float
    handling: float
    within: Mapping[float, float]

    def since(self, before: "Costs") -> "Costs":
        return Costs(
            self.calls - before.calls,
            self.signatures - before.signatures,
            self.tokend - before.tokend,
            self.envoy - before.envoy,
            self.handling - before.handling,
            {bound: count - before.within[bound] for bound, count in self.within.items()},
        )

    @property
    def mean_handling(self) -> float:
        """Returns the mean handling time of a call, in seconds."""
        return self.handling / self.calls

    @property
    def p99_handling(self) -> float:
        """Returns the p99 of the handling time in seconds: the upper bound of its bucket."""
        return min(bound for bound, count in self.within.items() if count >= 0.99 * self.calls)


@dataclass(frozen=True)
class Row:
    """One round of one rate: requests without the step and with it, and the costs of both."""

    without: Report
    with_it: Report
    costs_without: Costs
    costs: Costs

    @property
    def tokend_microseconds(self) -> float:
        return self.costs.tokend / self.with_it["calls"] * 1e6

    @property
    def envoy_microseconds(self) -> float:
        without = self.costs_without.envoy / self.without["calls"]
        return (self.costs.envoy / self.with_it["calls"] - without) * 1e6


def answering(configuration: str) -> str:
    """Returns the example with two routes to which Envoy responds itself; one of them does not call tokend."""
    document = yaml.safe_load(configuration)
    manager = document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    (route,) = manager["route_config"]["virtual_hosts"][0]["routes"]
    per_route: dict[str, Any] = route["typed_per_filter_config"][_EXT_AUTHZ]
    manager["route_config"]["virtual_hosts"][0]["routes"] = [
        _answered(_WITHOUT, {"@type": per_route["@type"], "disabled": True}),
        _answered(_WITH, per_route),
    ]
    dumped: str = yaml.safe_dump(document)
    return dumped


def _answered(prefix: str, ext_authz: dict[str, Any]) -> dict[str, Any]:
    return {
        "match": {"prefix": prefix},
        "direct_response": {"status": 200},
        "typed_per_filter_config": {_EXT_AUTHZ: ext_authz},
    }


def spent(place: Site, envoy: Envoy) -> Costs:
    metrics = place.metrics()
    checks = partial(total, metrics, grpc_service=SERVICE_NAME)
    return Costs(
        checks("grpc_server_handled_total"),
        total(metrics, "tokend_tokens_issued_total"),
        cpu_seconds(place.server.pid),
        cpu_seconds(envoy.pid),
        checks("grpc_server_handling_seconds_sum"),
        {
            bound: checks("grpc_server_handling_seconds_bucket", le=floatToGoString(bound))  # type: ignore[no-untyped-call] # it has no types
            for bound in (*SECONDS_BUCKETS, math.inf)
        },
    )


def clients(place: Site, binary: Path, rate: float) -> Callable[[Envoy, str], Client]:
    """Creates clients of an Envoy's route, for the users of a rate."""
    tokens = [place.user_token(f"user-{rate:g}-{number}") for number in range(USERS)]

    def client(envoy: Envoy, path: str) -> Client:
        urls = " ".join(f"http://{envoy.address}{path}?access_token={token}" for token in tokens)
        return Client(binary, urls, CONNECTIONS)

    return client


def measure(place: Site, envoy: Envoy, binary: Path, rate: float, seconds: float) -> Row:
    """Measures one round of a rate."""
    client = clients(place, binary, rate)
    before = spent(place, envoy)
    without = client(envoy, _WITHOUT).run(rate, seconds)
    between = spent(place, envoy)
    with_it = client(envoy, _WITH).run(rate, seconds)
    return Row(without, with_it, between.since(before), spent(place, envoy).since(between))


@dataclass(frozen=True)
class Asked:
    """A server with a separate Envoy that calls it.

    Attributes:
        pid: The server's process.
        envoy: The Envoy.
    """

    pid: int
    envoy: Envoy

    def measure(
        self, client: Callable[[Envoy, str], Client], rate: float, seconds: float
    ) -> tuple[float, float, float]:
        """Returns the step's share of p50 and p99 in milliseconds, and the server's CPU in microseconds per request."""
        without = client(self.envoy, _WITHOUT).run(rate, seconds)
        before = cpu_seconds(self.pid)
        with_it = client(self.envoy, _WITH).run(rate, seconds)
        spent = (cpu_seconds(self.pid) - before) / with_it["calls"] * 1e6
        return p50(with_it) - p50(without), p99(with_it) - p99(without), spent


def line(rate: float, rows: Sequence[Row]) -> str:
    """Formats the row of a rate: medians, except for counts, which are totals over all rounds."""
    calls, signatures = (sum(getattr(row.costs, name) for row in rows) for name in ("calls", "signatures"))
    milliseconds = (
        median(measured(report) for report in reports)
        for measured in (p50, p99)
        for reports in ([row.without for row in rows], [row.with_it for row in rows])
    )
    cells = [
        f"{rate:,.0f}",
        *(f"{each:.2f}" for each in milliseconds),
        f"{median(p99(row.with_it) - p99(row.without) for row in rows):.2f}",
        f"{1000 * median(row.costs.mean_handling for row in rows):.2f}",
        f"{1000 * median(row.costs.p99_handling for row in rows):g}",
        f"{calls:,.0f}",
        f"{signatures:,.0f}",
        f"{1 - signatures / calls:.1%}",
        f"{median(row.tokend_microseconds for row in rows):,.0f}",
        f"{median(row.envoy_microseconds for row in rows):,.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def floors_table(rows: Mapping[str, Sequence[tuple[float, float, float]]]) -> Iterator[str]:
    """Formats the comparison of the servers: medians of the rounds."""
    yield "| what answers Envoy | added to p50, ms | added to p99, ms | its CPU, µs a request |"
    yield "|---|---|---|---|"
    for name, taken in rows.items():
        added_p50, added_p99, cpu = (median(values) for values in zip(*taken, strict=True))
        yield f"| {name} | {added_p50:.2f} | {added_p99:.2f} | {cpu:,.0f} |"


@contextmanager
def asked(directory: Path, place: Site, tokend_envoy: Envoy, cores: Cores) -> Iterator[Mapping[str, Asked]]:
    """Starts tokend and the floors."""
    with ExitStack() as undo:
        floors = undo.enter_context(serve_check_floors.serving(directory, cores, place.directory))
        servers = {"tokend": Asked(place.server.pid, tokend_envoy)}
        for name, (pid, port) in floors.items():
            own = directory / f"envoy-{port}"
            own.mkdir()
            outbound = place.outbound(own, "127.0.0.1:1", tokend_ports=(port, port), change=answering, patient=False)
            envoy = undo.enter_context(outbound)
            envoy.wait_until_healthy("tokend", 2)
            _move(envoy.pid, cores.load)
            servers[name] = Asked(pid, envoy)
        yield servers


@contextmanager
def on_their_cores(place: Site, envoy: Envoy, cores: Cores) -> Iterator[None]:
    """Runs tokend on one core, and Envoy and everything started in the block on another."""
    _move(place.server.pid, cores.server)
    _move(envoy.pid, cores.load)
    with on_core(cores.load):
        yield


def _move(pid: int, core: int) -> None:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


def results(directory: Path, rounds: int, seconds: float, rates: Sequence[float]) -> str:
    binary = directory / "paced"
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off"}
    subprocess.run(["go", "build", "-o", binary, "."], cwd=SOURCE, env=environment, check=True)
    rows: dict[float, list[Row]] = {rate: [] for rate in rates}
    cores = Cores.available()
    for name in ("site", "envoy"):
        (directory / name).mkdir()
    with (
        site(directory / "site", "RS512", calls_per_second=100_000, audit_required=False) as place,
        place.outbound(directory / "envoy", "127.0.0.1:1", change=answering, patient=False) as envoy,
        on_their_cores(place, envoy, cores),
        asked(directory, place, envoy, cores) as servers,
    ):
        beside: dict[str, list[tuple[float, float, float]]] = {name: [] for name in servers}
        for _ in range(rounds):
            for rate in rates:
                rows[rate].append(measure(place, envoy, binary, rate, seconds))
            client = clients(place, binary, rates[0])
            for name, server in servers.items():
                beside[name].append(server.measure(client, rates[0], seconds))
    return "\n".join(
        [
            f"Medians of {rounds} rounds of {seconds:g} s, {USERS} users, RS512. {describe(directory)}",
            "",
            f"| {' | '.join(_COLUMNS)} |",
            f"|{'---|' * len(_COLUMNS)}",
            *(line(rate, rows[rate]) for rate in rates),
            "",
            *floors_table(beside),
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.sidecar", description="Measures a sidecar's step.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of requests, for each case and round")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="requests a second")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit ends the server, a kill would not
    with TemporaryDirectory(prefix="tokend-bench-") as directory:
        sys.stdout.write(results(Path(directory), options.rounds, options.seconds, options.rates))


if __name__ == "__main__":
    main()
