"""The agent's metrics for Prometheus."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tokend_client.errors import Closed, TokendError
from tokend_client.model import Token

#: The outcome of a success.
OK = "OK"

_PREFIX = "tokend_agent_"


class Measures:
    """Counts refreshes and writes, by token and outcome.

    Args:
        names: The names of the tokens.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._lock = threading.Lock()
        self._refreshes: Counter[tuple[str, str]] = Counter()
        self._writes: Counter[tuple[str, str]] = Counter()
        self.set_names(names)

    def set_names(self, names: Iterable[str]) -> None:
        """Sets the tokens that have series."""
        at_first = {(name, OK): 0 for name in names}
        known = {name for name, _ in at_first}
        with self._lock:
            for counter in (self._refreshes, self._writes):
                counted = {key: count for key, count in counter.items() if key[0] in known}
                counter.clear()
                counter.update({**at_first, **counted})

    def refreshed(self, name: str, outcome: Token | TokendError) -> None:
        """Counts a call that has ended, unless the agent itself has cancelled it."""
        if not isinstance(outcome, Closed):
            failure = outcome.reason or outcome.code.name if isinstance(outcome, TokendError) else OK
            self._count(self._refreshes, name, failure)

    def written(self, name: str, outcome: str) -> None:
        """Counts a write: `OK`, or the name of the errno."""
        self._count(self._writes, name, outcome)

    def page(self, states: Sequence[tuple[str, bool, datetime | None]]) -> bytes:
        """Returns all metrics in Prometheus' text format.

        Args:
            states: The name of each token, whether its file contains a valid one, and its expiry.
        """
        registry = CollectorRegistry()
        registry.register(_MetricsCollector(lambda: self._families(states)))
        return generate_latest(registry)

    def _count(self, counter: "Counter[tuple[str, str]]", name: str, outcome: str) -> None:
        with self._lock:
            counter[name, outcome] += 1

    def _families(self, states: Sequence[tuple[str, bool, datetime | None]]) -> Iterator[Metric]:
        valid = GaugeMetricFamily(
            f"{_PREFIX}token_valid", "Whether the file contains a token that has not expired", labels=["token"]
        )
        until = GaugeMetricFamily(
            f"{_PREFIX}token_expire_time_seconds", "When the token in the file expires", labels=["token"]
        )
        for name, is_valid, expire_time in states:
            valid.add_metric([name], is_valid)
            if expire_time is not None:
                until.add_metric([name], expire_time.timestamp())
        yield from (valid, until)
        with self._lock:
            yield _to_family(
                "refreshes", "Calls for a token, by outcome: OK, or the reason, or the status code", self._refreshes
            )
            yield _to_family("writes", "Writes of a file, by outcome: OK, or the errno", self._writes)


class _MetricsCollector(Collector):
    def __init__(self, families: Callable[[], Iterator[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return self._families()


def _to_family(name: str, text: str, counter: "Counter[tuple[str, str]]") -> Metric:
    family = CounterMetricFamily(_PREFIX + name, text, labels=["token", "outcome"])
    for labels, count in counter.items():
        family.add_metric(labels, count)
    return family
