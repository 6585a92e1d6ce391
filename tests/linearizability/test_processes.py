"""All operations at once through several processes on one store: they answer as if one came after the other."""

from pathlib import Path

from tests.linearizability.rounds import unexplained
from tests.support.postgresql import PostgresqlServer

ROUNDS = 60


def test_operations_of_two_processes_answer_as_one_after_the_other(tmp_path: Path) -> None:
    _explained(f"sqlite:///{tmp_path / 'tokend.db'}", 2)


def test_operations_of_four_processes_on_postgresql_answer_as_one_after_the_other(postgresql: PostgresqlServer) -> None:
    _explained(postgresql.new_schema(), 4)


def _explained(url: str, processes: int) -> None:
    for seed, history in unexplained(url, range(ROUNDS), processes):
        raise AssertionError(f"seed {seed}:\n" + "\n".join(map(str, history)))
