"""Parsing of a profile."""

import pytest
from tests.bench.profile import OTHERS, PARTS, by_part, table

REPORT = """
# Overhead  Shared Object
    60.00%  libpython3.11.so.1.0
    25.50%  [kernel.kallsyms]
    10.00%  libsqlite3.so.0.8.6
     4.50%  libunheard.so
"""


def test_the_parts_add_up_to_the_call() -> None:
    parts = by_part(REPORT, 200.0)
    assert parts[PARTS["libpython"]] == pytest.approx(120)
    assert parts[PARTS["[kernel"]] == pytest.approx(51)
    assert parts[OTHERS] == pytest.approx(9)
    assert sum(parts.values()) == pytest.approx(200)


def test_rows_are_sorted_by_difference_with_the_total_last() -> None:
    lines = table({"tokend": by_part(REPORT, 200.0), "floor": by_part(REPORT, 100.0)}).splitlines()
    assert lines[2] == "| Python's interpreter | 120 | 60 | 60 |"
    assert lines[-1] == "| together | 200 | 100 | 100 |"
