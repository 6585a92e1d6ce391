"""The part of PromQL that the pages' alert rules use: parsed by Prometheus's grammar, and evaluated."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import promql_parser as promql
from prometheus_client import CollectorRegistry

#: The labels of a series.
Labels: TypeAlias = frozenset[tuple[str, str]]

#: The series of an expression with their values; a number has one series without labels.
Vector: TypeAlias = Mapping[Labels, float]

_NO_LABELS: Labels = frozenset()


class Scrape(NamedTuple):
    """A scrape of a server.

    Attributes:
        at: Its time, in seconds since the Unix epoch.
        samples: Its values, by name and labels.
    """

    at: float
    samples: Mapping[tuple[str, Labels], float]


def scrape(registry: CollectorRegistry, at: float) -> Scrape:
    """Returns a scrape of a registry."""
    families = registry.collect()
    samples = [sample for family in families for sample in family.samples]
    return Scrape(at, {(each.name, frozenset(each.labels.items())): each.value for each in samples})


def evaluate(expression: str, scrapes: Sequence[Scrape]) -> Vector:
    """Returns the value of an expression at the last scrape. A comparison keeps the series for which it is true."""
    return _value(promql.parse(expression), scrapes)


def _value(node: promql.Expr, scrapes: Sequence[Scrape]) -> Vector:
    match node:
        case promql.NumberLiteral():
            return {_NO_LABELS: node.val}
        case promql.VectorSelector():
            return _series(node, scrapes[-1])
        case promql.Call() if node.func.name == "time":
            return {_NO_LABELS: scrapes[-1].at}
        case promql.Call() if node.func.name == "increase":
            return _increase(node.args[0], scrapes)
        case promql.BinaryExpr():
            return _combined(f"{node.op}", _value(node.lhs, scrapes), _value(node.rhs, scrapes))
    raise NotImplementedError(node)


def _series(selector: promql.VectorSelector, scraped: Scrape) -> Vector:
    return {labels: value for (name, labels), value in scraped.samples.items() if name == selector.name}


def _increase(selector: promql.Expr, scrapes: Sequence[Scrape]) -> Vector:
    assert isinstance(selector, promql.MatrixSelector)
    begin = scrapes[-1].at - selector.range.total_seconds()
    first, *_ = [_series(selector.vector_selector, each) for each in scrapes if each.at >= begin]
    last = _series(selector.vector_selector, scrapes[-1])
    return {labels: last[labels] - first[labels] for labels in first.keys() & last.keys()}


def _combined(symbol: str, left: Vector, right: Vector) -> Vector:
    """Pairs each series with the one of the same labels, or with a number."""
    combined = {}
    for labels in left.keys() | right.keys():
        a, b = (each.get(labels, each.get(_NO_LABELS)) for each in (left, right))
        if a is not None and b is not None:
            combined[labels] = a, b
    if symbol == ">":
        return {labels: a for labels, (a, b) in combined.items() if a > b}
    assert symbol == "-"
    return {labels: a - b for labels, (a, b) in combined.items()}
