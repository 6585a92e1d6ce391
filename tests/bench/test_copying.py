"""A small run of the copying of many identities, and that it detects faults."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from tests.bench.copying import compared, copy, everyone, running_reads
from tests.bench.fill import fill_postgresql, fill_sqlite
from tests.bench.messages import METHOD, SERVICE
from tests.support.postgresql import PostgresqlServer

from tokend.v1.developer_identity_service_pb2 import GetOpenIdTokenForDeveloperIdentityResponse


def test_a_store_is_copied_while_it_serves(tmp_path: Path) -> None:
    summary = copy(tmp_path, 3000)
    assert "3,000 identities, 3,000 linked_logins, 2 signing_keys, 2 developer_providers" in summary


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE identities SET disabled = NOT disabled WHERE identity_id = (SELECT max(identity_id) FROM identities)",
        "UPDATE linked_logins SET user_identifier = x'00' WHERE login_key = (SELECT min(login_key) FROM linked_logins)",
        "DELETE FROM linked_logins WHERE login_key = (SELECT max(login_key) FROM linked_logins)",
        "INSERT INTO developer_providers VALUES ('eu-west-1:a', 'p')",
    ],
)
def test_a_row_that_differs_is_found(tmp_path: Path, postgresql: PostgresqlServer, change: str) -> None:
    database, filled = tmp_path / "tokend.db", list(everyone(30))
    fill_sqlite(database, filled)
    url = fill_postgresql(postgresql.new_schema(), filled)
    assert compared(database, url)["linked_logins"] == 30
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(change)
    with pytest.raises(RuntimeError, match="of FROM is not that of TO"):
        compared(database, url)


def _another(_request: bytes, _context: grpc.ServicerContext) -> bytes:
    return GetOpenIdTokenForDeveloperIdentityResponse(identity_id="local:another").SerializeToString()


def test_an_answer_with_another_id_is_found() -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(_another)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with running_reads(f"127.0.0.1:{port}", 100) as reads:
        while not reads.wrong:
            time.sleep(0.01)
    server.stop(grace=None).wait()
    assert reads.wrong[0].endswith("local:another")
