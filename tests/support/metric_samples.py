"""What a page of metrics says."""

from collections.abc import Sequence

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


def named_like(page: str, prefix: str) -> Sequence[Sample]:
    """The samples whose names begin so; the other lines of the page, which are thousands, are not parsed."""
    lines = "\n".join(line for line in page.splitlines() if line.startswith(prefix))
    return [each for family in text_string_to_metric_families(lines) for each in family.samples]


def samples(page: str, name: str) -> Sequence[Sample]:
    """The samples of this name."""
    return [each for each in named_like(page, name) if each.name == name]


def total(page: str, name: str, **labels: str) -> float:
    """The sum of the samples of this name that have these labels."""
    return sum(each.value for each in samples(page, name) if labels.items() <= each.labels.items())
