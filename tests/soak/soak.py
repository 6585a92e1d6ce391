"""A run against a separate `tokend serve`, and its report."""

import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.soak.clients import Client, Record
from tests.soak.measures import Growth, Sample, growth, sample
from tests.support.metric_samples import total
from tests.support.server_process import ServerProcess, write_config

#: Seconds that the last calls may take to be counted as ended.
_SETTLING = 30.0


@dataclass(frozen=True)
class Report:
    """The result of a run.

    Attributes:
        outcomes: The number of calls by result.
        growths: The server's resources after the warm-up, and at the end.
        faults: The detected faults.
    """

    outcomes: Sequence[tuple[str, int]]
    growths: Sequence[Growth]
    faults: Sequence[str]

    def lines(self) -> Iterator[str]:
        """Returns the report as tables."""
        yield "| calls | |\n|---|---:|"
        yield from (f"| {name} | {count:,} |" for name, count in self.outcomes)
        yield "\n| the server's | after the warm-up | at the end | |\n|---|---:|---:|---|"
        for each in self.growths:
            yield f"| {each.name} | {each.before:,} | {each.after:,} | {'GROWS' if each.is_fault else ''} |"
        yield "\n" + "\n".join(self.faults or ["no fault"])


def soak(directory: Path, *, seconds: float, connections: int, users: int = 200, interval: float = 1.0) -> Report:
    """Makes clients call a server for some time.

    Args:
        directory: The directory of its database.
        seconds: The duration.
        connections: The number of clients.
        users: The number of users.
        interval: The seconds between two samples.
    """
    record, samples = Record(), list[Sample]()
    over = threading.Event()
    with ServerProcess(write_config(directory), module="tests.support.observable_server", afresh=True) as server:
        clients = [
            threading.Thread(target=Client(server, record, number, users).run, args=(over.is_set,))
            for number in range(connections)
        ]
        for client in clients:
            client.start()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(interval)
            samples.append(sample(server.pid))
        over.set()
        for client in clients:
            client.join()
        faults = [f"{text}: {count}" for text, count in record.faults.items()]
        faults += _unfinished(server.ops)
        if code := server.stop():
            faults.append(f"the server has ended with {code}")
    growths = growth(samples)
    faults += [f"{each.name} has grown from {each.before} to {each.after}" for each in growths if each.is_fault]
    return Report(sorted(record.outcomes.items()), growths, faults)


def _unfinished(ops: str) -> Sequence[str]:
    """Returns the number of calls that still count as running after the clients have ended."""
    until = time.monotonic() + _SETTLING
    while (running := _running(ops)) and time.monotonic() < until:
        time.sleep(0.1)
    return [f"{running:.0f} calls count as running, and no client calls"] if running else []


def _running(ops: str) -> float:
    with urllib.request.urlopen(f"{ops}/metrics", timeout=_SETTLING) as answer:
        text = answer.read().decode()
    return total(text, "grpc_server_started_total") - total(text, "grpc_server_handled_total")
