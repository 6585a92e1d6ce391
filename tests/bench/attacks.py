"""The effect of attacks on the gRPC port on an innocent caller: `python -m tests.bench.attacks`.

tokend runs on one core with TLS and the default limits, all clients on another. An innocent caller makes sequential
calls, some hundred a second, first alone and then during an attack, in turns over several rounds. The attacker is
another caller with a certificate, or an unauthenticated client of a second server, whose callers have keys. It yields
the core to the innocent caller, so that the figures show the server's handling of an attack. The table has the medians
of the rounds.
"""

import argparse
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from types import MappingProxyType

import grpc
from tests.attacks.attacks import ATTACKS
from tests.attacks.stage import DEADLINE, Size, Stage, Tally, request, stage
from tests.bench.machine import describe
from tests.bench.processes import Cores, cpu_seconds

from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub

#: Seconds from one call of the innocent caller to the next.
_INTERVAL = 0.01

#: Seconds between the start of an attack and the first call that counts.
_LEAD_IN = 1.0

#: Seconds that the server may take to come to rest after an attack.
_SETTLING = 30.0

#: The target: p99 during an attack, as a multiple of p99 without it.
BAR = 5.0

#: The maximum memory of the server during an attack, in MiB: SECURITY.md asks for 2 GiB.
MOST_MEMORY = 1536.0


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        attack: The attack.
        unauthenticated: Whether the attacker is unauthenticated, rather than a caller with a certificate.
        connections: Its number of connections, instead of the default.
        newcomers: Whether the innocent caller opens a new connection for each call.
        out_of_reach: Whether gRPC handles it before any of tokend's code: the row is shown, but not held to the bar.
    """

    attack: str
    unauthenticated: bool = False
    connections: int | None = None
    newcomers: bool = False
    out_of_reach: bool = False


#: Attacks that are made with more connections than the server accepts.
_MANY = frozenset({"silent connections", "half handshakes", "idle connections"})

_OUT_OF_REACH = frozenset({"metadata by reference", "references without an acknowledgement", "pings"})

CASES: Mapping[str, Case] = MappingProxyType(
    {
        name: Case(name, connections=2000 if name in _MANY else None, out_of_reach=name in _OUT_OF_REACH)
        for name in ATTACKS
    }
    | {
        "connections with calls, unauthenticated": Case("connections with calls, and gone", unauthenticated=True),
        "references, unauthenticated": Case(
            "references without an acknowledgement", unauthenticated=True, out_of_reach=True
        ),
        "999 idle connections, new connection per call": Case(
            "patient connections", unauthenticated=True, connections=999, newcomers=True
        ),
    }
)

_COLUMNS = (
    "attack",
    "p50 quiet, ms",
    "p50 attacked, ms",
    "p99 quiet, ms",
    "p99 attacked, ms",
    "p99 ratio",
    "calls failed",
    "memory before, MiB",
    "memory at most, MiB",
    "threads at most",
    "server's CPU",
    "attacker sent, MB",
    "attacker was refused",
)


@dataclass(frozen=True)
class Calls:
    """The results of the innocent caller's calls in one turn.

    Attributes:
        milliseconds: The duration of each call, including failed ones.
        failures: The number of failed calls, by status code.
        sizes: The server's resource usage at each call.
        server_cpu_share: The CPU time of the server, relative to the time of the turn.
    """

    milliseconds: Sequence[float]
    failures: Mapping[str, int]
    sizes: Sequence[Size]
    server_cpu_share: float

    @property
    def p50(self) -> float:
        return median(self.milliseconds)

    @property
    def p99(self) -> float:
        return quantiles(self.milliseconds, n=100, method="inclusive")[98]


@dataclass(frozen=True)
class Round:
    """One round of one attack."""

    quiet: Calls
    attacked: Calls
    tally: Tally

    @property
    def refusals(self) -> int:
        """Returns how many streams and connections of the attacker the server refused or ended."""
        received = self.tally["received"]
        return received.get("resets", 0) + received.get("goaways", 0) + self.tally["refused"] + self.tally["ended"]


def make_calls(on: Stage, channel: grpc.Channel | None, seconds: float) -> Calls:
    """Makes calls for this many seconds, at least two; without a channel, each on a new one."""
    milliseconds: list[float] = []
    failures: Counter[str] = Counter()
    sizes: list[Size] = []
    begun, cpu = time.monotonic(), cpu_seconds(on.server.pid)
    while time.monotonic() < begun + seconds or len(milliseconds) < 2:
        started = time.monotonic()
        try:
            with nullcontext(channel) if channel else on.channel() as used:
                stub = DeveloperIdentityServiceStub(used)
                stub.GetOpenIdTokenForDeveloperIdentity(request("innocent"), timeout=DEADLINE)
        except grpc.RpcError as error:
            failures[error.code().name] += 1
        took = time.monotonic() - started
        milliseconds.append(1000 * took)
        sizes.append(Size.of(on.server.pid))
        time.sleep(max(0.0, started + _INTERVAL - time.monotonic()))
    share = (cpu_seconds(on.server.pid) - cpu) / (time.monotonic() - begun)
    return Calls(milliseconds, failures, sizes, share)


def measure(on: Stage, case: Case, seconds: float) -> Round:
    """Measures the caller alone, then during an attack."""
    with on.channel() as channel:
        # A host that has attacked is barred for a while, and here all come from one.
        DeveloperIdentityServiceStub(channel).GetOpenIdTokenForDeveloperIdentity(
            request("innocent"), timeout=_SETTLING, wait_for_ready=True
        )
        used = None if case.newcomers else channel
        quiet = make_calls(on, used, seconds)
        with on.attacked(case.attack, _LEAD_IN + seconds, connections=case.connections, idle=True) as attack:
            time.sleep(_LEAD_IN)
            attacked = make_calls(on, used, seconds)
            return Round(quiet, attacked, attack.tally)


def line(name: str, rounds: Sequence[Round]) -> str:
    """Formats the row of an attack."""
    cells = (
        name,
        f"{median(each.quiet.p50 for each in rounds):.1f}",
        f"{median(each.attacked.p50 for each in rounds):.1f}",
        f"{median(each.quiet.p99 for each in rounds):.1f}",
        f"{median(each.attacked.p99 for each in rounds):.1f}",
        f"{ratio(rounds):.1f}",
        f"{_failed(rounds)} of {sum(len(each.attacked.milliseconds) for each in rounds):,}",
        f"{median(each.quiet.sizes[-1].resident_mebibytes for each in rounds):.0f}",
        f"{memory(rounds):.0f}",
        f"{max(size.threads for each in rounds for size in each.attacked.sizes)}",
        f"{median(each.attacked.server_cpu_share for each in rounds):.0%}",
        f"{median(each.tally['sent_bytes'] for each in rounds) / 1e6:,.1f}",
        f"{median(each.refusals for each in rounds):,.0f}",
    )
    return f"| {' | '.join(cells)} |"


def ratio(rounds: Sequence[Round]) -> float:
    """Returns the median of the p99 during the attack relative to the p99 without it in the same round."""
    return median(each.attacked.p99 / each.quiet.p99 for each in rounds)


def memory(rounds: Sequence[Round]) -> float:
    """Returns the maximum memory of the server during the attack, in MiB."""
    return max(size.resident_mebibytes for each in rounds for size in each.attacked.sizes)


def misses(rounds: Sequence[Round]) -> Sequence[str]:
    """Returns the missed targets of a case."""
    results = {
        f"p99 {ratio(rounds):.1f} times the quiet one": ratio(rounds) <= BAR,
        f"{_failed(rounds)} calls failed": _failed(rounds) == "0",
        f"{memory(rounds):.0f} MiB": memory(rounds) <= MOST_MEMORY,
    }
    return [text for text, holds in results.items() if not holds]


def _failed(rounds: Sequence[Round]) -> str:
    failures = sum((Counter(each.attacked.failures) for each in rounds), Counter[str]())
    return ", ".join(f"{count} {code}" for code, count in failures.items()) or "0"


def table(rounds: Mapping[str, Sequence[Round]]) -> str:
    """Formats the attacks as a Markdown table."""
    header = [f"| {' | '.join(_COLUMNS)} |", f"|---|{'---:|' * (len(_COLUMNS) - 1)}"]
    return "\n".join([*header, *(line(name, of_attack) for name, of_attack in rounds.items())])


@contextmanager
def _serving(directory: Path, cores: Cores, *, open_to_unauthenticated: bool) -> Iterator[Stage]:
    directory.mkdir()
    os.sched_setaffinity(0, {cores.server})  # the server inherits it, with every thread it will have
    with stage(directory, open_to_unauthenticated=open_to_unauthenticated) as running:
        os.sched_setaffinity(0, {cores.load})
        yield running


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.attacks")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each turn")
    parser.add_argument("--attack", action="append", choices=CASES, help="instead of all; may be repeated")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit ends the server, a kill would not
    names = arguments.attack or list(CASES)
    rounds: dict[str, list[Round]] = {name: [] for name in names}
    cores = Cores.available()
    with (
        TemporaryDirectory() as directory,
        _serving(Path(directory) / "certificates", cores, open_to_unauthenticated=False) as certified,
        _serving(Path(directory) / "keys", cores, open_to_unauthenticated=True) as keyed,
    ):
        for running in (certified, keyed):
            with running.channel() as channel:
                make_calls(running, channel, _LEAD_IN)
        for number in range(arguments.rounds):
            for name in names:
                sys.stderr.write(f"round {number + 1} of {arguments.rounds}: {name}\n")
                case = CASES[name]
                rounds[name].append(measure(keyed if case.unauthenticated else certified, case, arguments.seconds))
        sys.stdout.write(
            f"Medians of {arguments.rounds} rounds of {arguments.seconds:g} s. {describe(Path(directory))}\n\n"
            f"{table(rounds)}\n\n"
        )
    missed = {name: misses(of_attack) for name, of_attack in rounds.items()}
    for name, texts in missed.items():
        if texts:
            beyond = " (out of reach, see SECURITY.md)" if CASES[name].out_of_reach else ""
            sys.stdout.write(f"{name}{beyond}: {', '.join(texts)}\n")
    if any(texts and not CASES[name].out_of_reach for name, texts in missed.items()):
        sys.exit("Bounds were missed.")


if __name__ == "__main__":
    main()
