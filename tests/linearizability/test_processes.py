"""All operations concurrently through several processes on one store: the results are linearizable."""

from pathlib import Path

import pytest
from tests.clients.toolchains import BUILD_TIMEOUT
from tests.fakes.cognito_upstream import ACCESS_KEY
from tests.linearizability.rounds import unexplained
from tests.support.aws_environment import give_credentials, without_aws_settings
from tests.support.dynamodb import dynoxide, table_name, table_url
from tests.support.postgresql import PostgresqlServer

ROUNDS = 60


def test_operations_of_two_processes_on_sqlite_are_linearizable(tmp_path: Path) -> None:
    _check_linearizability(f"sqlite:///{tmp_path / 'tokend.db'}", 2)


def test_operations_of_four_processes_on_postgresql_are_linearizable(postgresql: PostgresqlServer) -> None:
    _check_linearizability(postgresql.new_schema(), 4)


@pytest.mark.timeout(BUILD_TIMEOUT)
def test_operations_of_four_processes_on_dynamodb_are_linearizable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_aws_settings(monkeypatch, tmp_path)
    give_credentials(monkeypatch, ACCESS_KEY)
    with dynoxide(tmp_path) as endpoint:
        _check_linearizability(table_url(endpoint, table_name()), 4)


def _check_linearizability(url: str, processes: int) -> None:
    for seed, history in unexplained(url, range(ROUNDS), processes):
        raise AssertionError(f"seed {seed}:\n" + "\n".join(map(str, history)))
