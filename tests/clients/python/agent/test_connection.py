"""The connection while its files change."""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tests.support.certificates import Certificate, write_certificate

from tokend_client import Closed, TokendError, TokenRequest
from tokend_client.agent.configuration import Service
from tokend_client.agent.connection import Connection
from tokend_client.testing import FakeTokendServer


def made(directory: Path) -> Certificate:
    directory.mkdir()
    return write_certificate(directory)


@pytest.fixture
def certificates(tmp_path: Path) -> tuple[Certificate, Certificate]:
    """The server's certificate, and another one."""
    return made(tmp_path / "one"), made(tmp_path / "other")


@pytest.fixture
def server(certificates: tuple[Certificate, Certificate]) -> Iterator[FakeTokendServer]:
    one, _ = certificates
    pair = (one.private_key_file.read_bytes(), one.certificate_file.read_bytes())
    with FakeTokendServer(algorithm="ES256", credentials=grpc.ssl_server_credentials([pair])) as running:
        yield running


@pytest.fixture
def request_of_orders(server: FakeTokendServer) -> TokenRequest:
    return TokenRequest(identity_pool_id=server.identity_pool_id, logins={server.developer_provider_name: "orders"})


def test_changed_authorities_apply_to_the_next_call(
    certificates: tuple[Certificate, Certificate],
    server: FakeTokendServer,
    request_of_orders: TokenRequest,
    tmp_path: Path,
) -> None:
    one, other = (each.certificate_file for each in certificates)
    ca_file = tmp_path / "ca.pem"
    shutil.copy(one, ca_file)
    connection = Connection(Service(endpoint=server.endpoint, ca_file=str(ca_file), timeout_seconds=10))
    assert connection.get_token(request_of_orders).identity_id
    shutil.copy(other, ca_file)
    with pytest.raises(TokendError, match="CERTIFICATE_VERIFY_FAILED"):
        connection.get_token(request_of_orders)
    shutil.copy(one, ca_file)
    assert connection.get_token(request_of_orders).identity_id
    connection.close()
    with pytest.raises(Closed):
        connection.get_token(request_of_orders)


@pytest.mark.parametrize("state", ["torn", "missing"])
def test_incomplete_certificate_files_leave_the_previous_ones_in_use(
    certificates: tuple[Certificate, Certificate],
    server: FakeTokendServer,
    request_of_orders: TokenRequest,
    caplog: pytest.LogCaptureFixture,
    state: str,
) -> None:
    one, other = certificates
    connection = mutual_tls(server, one, other)
    if state == "torn":
        shutil.copy(one.certificate_file, other.certificate_file)
    else:
        other.private_key_file.unlink()
    with caplog.at_level(logging.WARNING):
        assert connection.get_token(request_of_orders).identity_id
    assert "Keeping the previous certificates: tokend.client_" in caplog.text
    connection.close()


def test_a_change_during_the_read_is_logged_and_calls_continue(
    certificates: tuple[Certificate, Certificate],
    server: FakeTokendServer,
    request_of_orders: TokenRequest,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = certificates
    connection = mutual_tls(server, one, other)
    read = (one.certificate_file.read_bytes(), other.certificate_file.read_bytes(), b"")
    monkeypatch.setattr("tokend_client.agent.connection._read_files", lambda _: read)
    with caplog.at_level(logging.WARNING):
        assert connection.get_token(request_of_orders).identity_id
    assert "being written: private_key: no PEM" in caplog.text
    connection.close()


def mutual_tls(server: FakeTokendServer, one: Certificate, other: Certificate) -> Connection:
    settings = {
        "endpoint": server.endpoint,
        "ca_file": str(one.certificate_file),
        "client_certificate_file": str(other.certificate_file),
        "client_key_file": str(other.private_key_file),
        "timeout_seconds": 60,
    }
    return Connection(Service.model_validate(settings))
