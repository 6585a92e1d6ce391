"""Connections of a boto3 client. tests/cognito/test_time.py and tests/dynamodb test its deadlines."""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError, HTTPClientError
from tests.fakes.clock import FakeClock
from tests.fakes.cognito_upstream import ACCESS_KEY
from tests.fakes.http_connections import Listener, read_request
from tests.support.aws_environment import give_credentials, without_aws_settings

from tokend_server.aws import transport
from tokend_server.aws.client import aws_client
from tokend_server.config import Cognito
from tokend_server.engines.cognito.faults import to_contract_error
from tokend_server.errors import EngineMisconfigured

WHOLE = b'{"Identities": []}'

#: A chunk of 1 MiB with the ends of its lines.
CHUNK = b"100000\r\n" + b" " * 2**20 + b"\r\n"
MIB_SENT = 4

HEAD = f"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {len(WHOLE)}\r\n\r\n".encode()


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Responds to one request per connection: first with half of the headers, then with half of the body."""

    def serve(connection: socket.socket, number: int) -> None:
        read_request(connection)
        whole = HEAD + WHOLE
        connection.sendall({1: whole[:60], 2: whole[:-9]}.get(number, whole))

    yield from listening(serve)


def listening(serve: Callable[[socket.socket, int], None]) -> Iterator[Listener]:
    listener = Listener(serve)
    listener.start()
    yield listener
    listener.stop()


@pytest.fixture
def provisional(request: pytest.FixtureRequest) -> Iterator[Listener]:
    """Responds to two requests on one connection, with given bytes before each response, and refuses more."""

    def serve(connection: socket.socket, number: int) -> None:
        with suppress(ConnectionError):  # a client may not want a second response
            for _ in range(2 if number == 1 else 0):
                read_request(connection)
                connection.sendall(request.param + HEAD + WHOLE)

    yield from listening(serve)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_aws_settings(monkeypatch, tmp_path)
    give_credentials(monkeypatch, ACCESS_KEY)


@pytest.fixture
def endless(request: pytest.FixtureRequest) -> Iterator[Listener]:
    """Responds with a given head, and MiBs of chunks."""

    def serve(connection: socket.socket, _number: int) -> None:
        read_request(connection)
        with suppress(ConnectionError):  # a client need not read it to the end
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\n" + request.param)
            for _ in range(MIB_SENT):
                connection.sendall(CHUNK)
            connection.sendall(b"0\r\n\r\n")

    yield from listening(serve)


def client(listener: Listener, attempts: int) -> Any:  # noqa: ANN401 - boto3's clients have no types
    settings = Cognito(endpoint_url=f"http://127.0.0.1:{listener.port}", max_attempts=attempts)
    return aws_client("cognito-identity", settings, "eu-west-1", connections=1, clock=FakeClock())[0]


@pytest.mark.usefixtures("environment")
def test_a_truncated_response_is_an_error(listener: Listener) -> None:
    with closing(client(listener, 1)) as hasty:
        for _part in ("headers", "body"):
            with pytest.raises(ConnectionClosedError):
                hasty.list_identities(IdentityPoolId="eu-west-1:0", MaxResults=1)


@pytest.mark.usefixtures("environment")
def test_a_truncated_response_is_retried(listener: Listener) -> None:
    with closing(client(listener, 3)) as patient:
        assert patient.list_identities(IdentityPoolId="eu-west-1:0", MaxResults=1)["Identities"] == []


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    "endless",
    [
        b"transfer-encoding: chunked\r\n\r\n",
        b"content-length: %d\r\n\r\n" % (MIB_SENT * len(CHUNK)),
    ],
    indirect=True,
    ids=["chunks", "length"],
)
def test_a_response_above_the_size_limit_is_rejected(endless: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_RESPONSE_BYTES", 2**20)
    with closing(client(endless, 1)) as reader, pytest.raises(HTTPClientError) as raised:
        reader.list_identities(IdentityPoolId="eu-west-1:0", MaxResults=1)
    error = to_contract_error(raised.value, (), "eu-west-1:0")
    assert isinstance(error, EngineMisconfigured)
    assert error.text == "Cognito's response cannot be parsed."


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    "provisional",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n" * 2,
    ],
    indirect=True,
    ids=["continue", "processing", "early-hints"],
)
def test_informational_responses_are_skipped(provisional: Listener) -> None:
    with closing(client(provisional, 1)) as patient:
        for _ in range(2):  # on the same connection, which is at the second one's answer then
            assert patient.list_identities(IdentityPoolId="eu-west-1:0", MaxResults=1)["Identities"] == []


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("provisional", [b"HTTP/1.1 101 Switching Protocols\r\n\r\n"], indirect=True, ids=["101"])
def test_switching_protocols_is_an_error(provisional: Listener) -> None:
    with closing(client(provisional, 1)) as patient, pytest.raises(HTTPClientError):
        patient.list_identities(IdentityPoolId="eu-west-1:0", MaxResults=1)
