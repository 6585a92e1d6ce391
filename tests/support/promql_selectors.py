"""The selectors of PromQL expressions, and the series that exist."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import promql_parser as promql
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from tokend_server.metrics import Metrics

#: Labels that Prometheus adds to every scraped series; `namespace` and `pod` in Kubernetes.
TARGET_LABELS = frozenset({"namespace", "job", "instance", "pod"})

_HISTOGRAM_SERIES = {"_bucket": {"le"}, "_count": set[str](), "_sum": set[str]()}


class Selected(NamedTuple):
    """A selector: the metric, and the required labels with their allowed values, separated by `|`."""

    metric: str
    labels: Mapping[str, str]


def known_series() -> dict[str, frozenset[str]]:
    """Returns the labels of each series that Prometheus scrapes from tokend, by the metric's name."""
    metrics = Metrics(CollectorRegistry())
    series = {"up": TARGET_LABELS}
    for collector in vars(metrics).values():
        labels = TARGET_LABELS | set(getattr(collector, "_labelnames", ()))
        for family in collector.describe() if hasattr(collector, "describe") else ():
            if family.type == "histogram":
                series |= {family.name + suffix: labels | more for suffix, more in _HISTOGRAM_SERIES.items()}
            else:
                series[family.name + ("_total" if family.type == "counter" else "")] = labels
    of_the_process = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector):
        collector(registry=of_the_process)
    for family in of_the_process.collect():
        for sample in family.samples:
            series[sample.name] = TARGET_LABELS | set(sample.labels)
    return series


def selected(expression: str) -> list[Selected]:
    """Returns all selectors of an expression.

    Raises:
        ValueError: It is not an expression.
    """
    return [
        Selected(node.name or "", {each.name: each.value for each in node.matchers.matchers})
        for node in _nodes(promql.parse(expression))
        if isinstance(node, promql.VectorSelector)
    ]


def grouped(expression: str) -> list[str]:
    """Returns the labels by which an expression aggregates."""
    nodes = [node for node in _nodes(promql.parse(expression)) if isinstance(node, promql.AggregateExpr)]
    return [label for node in nodes if node.modifier for label in node.modifier.labels]


def _nodes(node: promql.Expr) -> Iterator[promql.Expr]:
    yield node
    match node:
        case promql.MatrixSelector():
            yield from _nodes(node.vector_selector)
        case promql.Call():
            for argument in node.args:
                yield from _nodes(argument)
        case promql.BinaryExpr():
            yield from _nodes(node.lhs)
            yield from _nodes(node.rhs)
        case promql.AggregateExpr() | promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            yield from _nodes(node.expr)
