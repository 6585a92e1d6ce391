"""All operations at once through two processes on one database: they answer as if one came after the other."""

from pathlib import Path

from tests.linearizability.rounds import unexplained

ROUNDS = 60


def test_operations_of_two_processes_answer_as_one_after_the_other(tmp_path: Path) -> None:
    for seed, history in unexplained(tmp_path / "tokend.db", range(ROUNDS)):
        raise AssertionError(f"seed {seed}:\n" + "\n".join(map(str, history)))
