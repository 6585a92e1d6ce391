"""The private interfaces of prometheus-client that tokend uses: the values of counters and histograms.

A call updates ten of them. Their public methods repeat checks of constant data, search buckets linearly, and take one
lock for the bucket and one for the sum: 24 Python function calls more for each call than here.
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from prometheus_client import Counter, Histogram
from prometheus_client.values import MutexValue, ValueClass

from tokend_server.library_parts import UnsupportedLibraryError, require


def counting(counter: Counter) -> Callable[[float], None]:
    """Returns a function that adds a non-negative amount to a counter with its labels."""
    add: Callable[[float], None] = counter._value.inc
    return add


def observing(histogram: Histogram) -> Callable[[float], None]:
    """Returns an equivalent of `Histogram.observe`, without exemplars, for a histogram with its labels."""
    total: Any = histogram._sum
    bounds: list[float] = histogram._upper_bounds
    buckets: list[Any] = histogram._buckets
    # One lock for all values, which `Histogram.observe` then takes as well.
    lock = total._lock
    for bucket in buckets:
        bucket._lock = lock

    def observe(amount: float) -> None:
        bucket = buckets[bisect_left(bounds, amount)]
        with lock:
            total._value += amount
            bucket._value += 1

    return observe


def _counts() -> bool:
    counter = Counter("one", "One.", ("label",), registry=None).labels("value")
    counting(counter)(2)
    return _samples(counter)["_total"] == 2  # noqa: PLR2004 - what was added


def _observes() -> bool:
    public, private = (Histogram("one", "One.", ("label",), registry=None, buckets=(1, 2)).labels("a") for _ in "ab")
    observe = observing(private)
    for amount in (0.5, 1, 1.5, 3):
        public.observe(amount)
        observe(amount)
    return _samples(public) == _samples(private)


def _samples(metric: Counter | Histogram) -> dict[str, float]:
    (family,) = metric.collect()
    return {
        f"{sample.name.removeprefix('one')}{sample.labels.get('le', '')}": sample.value
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


if ValueClass is not MutexValue:
    raise UnsupportedLibraryError(
        "PROMETHEUS_MULTIPROC_DIR is set, with which prometheus-client stores values in files that several processes "
        "share. tokend is one process and serves its own values: unset the variable."
    )
require(
    "prometheus-client",
    {"values that counters add to": _counts, "buckets that histograms count in": _observes},
)
