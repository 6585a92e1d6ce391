from pathlib import Path

import pytest
from tests.soak.measures import Sample, growth
from tests.soak.soak import soak


def run_of(*samples: Sample) -> list[Sample]:
    """Returns a run in which each sample fills an equal part."""
    return [each for each in samples for _ in range(12)]


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("threads", Sample(12, 100, 100_000)),
        ("descriptors", Sample(10, 105, 100_000)),
        ("memory_kib", Sample(10, 100, 120_000)),
    ],
)
def test_growth_is_detected(name: str, last: Sample) -> None:
    settled = Sample(10, 100, 100_000)
    assert [each.name for each in growth(run_of(settled, settled, settled, last)) if each.is_fault] == [name]


def test_released_resources_are_not_growth() -> None:
    low, high = Sample(10, 100, 100_000), Sample(50, 900, 400_000)
    assert not any(each.is_fault for each in growth([low, high] * 20))


def test_the_warm_up_does_not_count() -> None:
    cold, warm = Sample(1, 1, 1), Sample(10, 100, 100_000)
    assert not any(each.is_fault for each in growth(run_of(cold, warm, warm, warm)))


def test_a_short_run_reports_no_faults_except_growth(tmp_path: Path) -> None:
    report = soak(tmp_path, seconds=6, connections=4, users=20, interval=0.1)
    assert [fault for fault in report.faults if "has grown" not in fault] == []  # it is too short to tell
    assert any("get" in name for name, _ in report.outcomes)
