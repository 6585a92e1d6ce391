"""What rules of alerts need of Prometheus: parsed by its grammar, and evaluated as far as the pages' rules go."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import promql_parser as promql
from prometheus_client import CollectorRegistry

#: The labels of a series.
Labels: TypeAlias = frozenset[tuple[str, str]]

#: The series that an expression has, and the value of each; a number has one series without labels.
Vector: TypeAlias = Mapping[Labels, float]

_NO_LABELS: Labels = frozenset()


class Scrape(NamedTuple):
    """What a server has told.

    Attributes:
        at: When, in seconds since the Unix epoch.
        samples: Its values, by name and labels.
    """

    at: float
    samples: Mapping[tuple[str, Labels], float]


def scrape(registry: CollectorRegistry, at: float) -> Scrape:
    """What a registry tells now."""
    families = registry.collect()
    samples = [sample for family in families for sample in family.samples]
    return Scrape(at, {(each.name, frozenset(each.labels.items())): each.value for each in samples})


def evaluate(expression: str, scrapes: Sequence[Scrape]) -> Vector:
    """The value of an expression at the last of some scrapes; a comparison keeps the series for which it holds."""
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
    """Pairs each series with that of the same labels, or with a number."""
    combined = {}
    for labels in left.keys() | right.keys():
        a, b = (each.get(labels, each.get(_NO_LABELS)) for each in (left, right))
        if a is not None and b is not None:
            combined[labels] = a, b
    if symbol == ">":
        return {labels: a for labels, (a, b) in combined.items() if a > b}
    assert symbol == "-"
    return {labels: a - b for labels, (a, b) in combined.items()}
