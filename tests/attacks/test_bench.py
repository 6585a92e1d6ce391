"""The benchmark's evaluation of its samples."""

from collections import Counter

import pytest
from tests.attacks.stage import Size
from tests.bench.attacks import Calls, Round, line, misses, ratio, table


def calls(milliseconds: float, failures: int = 0, memory: float = 100) -> Calls:
    """A hundred calls, one of which takes ten times as long as the others."""
    return Calls(
        [milliseconds] * 99 + [10 * milliseconds],
        Counter({"UNAVAILABLE": failures}) if failures else Counter(),
        [Size(memory, 30, 60)] * 100,
        server_cpu_share=0.5,
    )


def one_round(quiet: Calls, attacked: Calls) -> Round:
    received = {"resets": 5, "headers": 7, "goaways": 1}
    tally = {"sent_bytes": 2_500_000, "connected": 4, "refused": 2, "ended": 3, "received": received}
    return Round(quiet, attacked, tally)  # type: ignore[arg-type] # a literal of its shape


def test_a_percentile_is_that_of_the_calls() -> None:
    assert calls(2).p50 == 2
    assert calls(2).p99 == pytest.approx(2, abs=0.2)


def test_a_ratio_is_taken_in_each_round_before_the_median() -> None:
    rounds = [one_round(calls(1), calls(2)), one_round(calls(10), calls(30)), one_round(calls(1), calls(90))]

    assert ratio(rounds) == pytest.approx(3)


def test_refusals_are_resets_and_ended_connections() -> None:
    assert one_round(calls(1), calls(1)).refusals == 5 + 1 + 2 + 3


def test_a_line_has_medians_and_what_failed_in_all_rounds() -> None:
    rounds = [one_round(calls(1), calls(2, failures=2)), one_round(calls(1), calls(4, failures=1, memory=150))]

    cells = [cell.strip() for cell in line("pings", rounds).strip("|").split("|")]

    assert cells == [
        "pings", "1.0", "3.0", "1.1", "3.3", "3.0", "3 UNAVAILABLE of 200", "100", "150", "30", "50%", "2.5", "11",
    ]  # fmt: skip


def test_every_line_has_a_cell_for_each_column() -> None:
    head, rule, *lines = table({"pings": [one_round(calls(1), calls(1))]}).splitlines()

    assert {text.count("|") for text in (head, rule, *lines)} == {14}


def test_missed_targets_are_reported() -> None:
    assert misses([one_round(calls(1), calls(2))]) == []
    bad = [one_round(calls(1), calls(9, failures=2, memory=3000))]
    assert misses(bad) == ["p99 9.0 times the quiet one", "2 UNAVAILABLE calls failed", "3000 MiB"]
