"""The samples on a page of metrics."""

from collections.abc import Sequence

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


def named_like(page: str, prefix: str) -> Sequence[Sample]:
    """Returns the samples with this name prefix. The thousands of other lines are not parsed."""
    lines = "\n".join(line for line in page.splitlines() if line.startswith(prefix))
    return [each for family in text_string_to_metric_families(lines) for each in family.samples]


def samples(page: str, name: str) -> Sequence[Sample]:
    """Returns the samples of this name."""
    return [each for each in named_like(page, name) if each.name == name]


def total(page: str, name: str, **labels: str) -> float:
    """Returns the sum of the samples with this name and these labels."""
    return sum(each.value for each in samples(page, name) if labels.items() <= each.labels.items())
