"""The token that `tokend quickstart` shows, and the data that it keeps for the next run."""

import json
import signal
import socket
import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests.support.calls import get_token
from tests.support.files import mode
from tests.support.tokend import Ended, end, run, start

from tokend.v1.developer_identity_service_pb2 import GetOpenIdTokenForDeveloperIdentityResponse
from tokend_server.config import EMBEDDED_DEVELOPER_PROVIDER, EMBEDDED_POOL_ID


def documents(output: str) -> list[Any]:
    """Returns the JSON documents in quickstart's output, which are between titles."""
    found = []
    decoder = json.JSONDecoder()
    position = output.find("\n{\n")
    while position != -1:
        document, position = decoder.raw_decode(output, position + 1)
        found.append(document)
        position = output.find("\n{\n", position)
    return found


class Quickstart:
    """The output of a quickstart."""

    def __init__(self, ended: Ended) -> None:
        assert (ended.stderr, ended.returncode) == ("", 0)
        self.serving, self.issued, self.verified = documents(ended.stdout)


def private_keys(database: Path) -> dict[str, Any]:
    """Returns the signing keys of a store, by kid."""
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT kid, private_key FROM signing_keys").fetchall()
    return {kid: load_pem_private_key(pem, None) for kid, pem in rows}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quickstart") / "data"


@pytest.fixture(scope="module")
def shown(data_dir: Path) -> Sequence[Quickstart]:
    """Two concurrent ones with a data directory that does not exist yet, while the default ports are in use."""
    with ExitStack() as taken:
        for port in (50051, 8080, 9090):
            try:
                taken.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue  # taken by another process, which is as good
        both = [start("quickstart", "--once", TOKEND_DATA_DIR=str(data_dir)) for _ in range(2)]
        return [Quickstart(end(each)) for each in both]


def test_quickstart_shows_the_header_and_the_claims_of_its_token(shown: Sequence[Quickstart]) -> None:
    for each in shown:
        token = each.issued["token"]
        assert each.verified["header"] == jwt.get_unverified_header(token)
        claims = jwt.decode(token, audience=EMBEDDED_POOL_ID, options={"verify_signature": False})
        assert each.verified["claims"] == claims
        assert claims["sub"] == each.issued["identity_id"]
        assert claims["iss"] == each.serving["issuer"]
        assert claims["amr"][1] == EMBEDDED_DEVELOPER_PROVIDER


def test_quickstart_shows_every_member_of_the_answer(shown: Sequence[Quickstart]) -> None:
    members = set(GetOpenIdTokenForDeveloperIdentityResponse.DESCRIPTOR.fields_by_name)
    assert [set(each.issued) for each in shown] == [members] * len(shown)


def test_quickstart_s_token_verifies_offline_with_the_key_in_the_store(
    shown: Sequence[Quickstart], data_dir: Path
) -> None:
    keys = private_keys(data_dir / "tokend.db")
    for each in shown:
        key = keys[each.verified["header"]["kid"]].public_key()
        verified = jwt.decode(each.issued["token"], key, algorithms=["RS512"], audience=EMBEDDED_POOL_ID)
        assert verified == each.verified["claims"]


def test_two_quickstarts_at_once_agree_on_the_identity_and_on_the_key(
    shown: Sequence[Quickstart], data_dir: Path
) -> None:
    assert len({each.issued["identity_id"] for each in shown}) == 1
    assert len({each.verified["header"]["kid"] for each in shown}) == 1
    assert len(private_keys(data_dir / "tokend.db")) == 1


def test_quickstart_has_the_same_identity_the_next_time(shown: Sequence[Quickstart], data_dir: Path) -> None:
    again = Quickstart(run("quickstart", "--once", TOKEND_DATA_DIR=str(data_dir)))
    assert again.issued["identity_id"] == shown[0].issued["identity_id"]
    assert again.verified["header"] == shown[0].verified["header"]


def test_the_files_of_quickstart_are_private_to_their_owner(shown: Sequence[Quickstart], data_dir: Path) -> None:
    assert shown[0].serving["store"] == str(data_dir / "tokend.db")
    assert mode(data_dir) == 0o700
    assert {mode(file) for file in data_dir.iterdir()} == {0o600}


def test_quickstart_stays_up_until_it_is_stopped(shown: Sequence[Quickstart], data_dir: Path) -> None:
    process = start("quickstart", TOKEND_DATA_DIR=str(data_dir), PYTHONUNBUFFERED="1")
    assert process.stdout
    lines: list[str] = []
    while not any("Ctrl-C" in line for line in lines):
        line = process.stdout.readline()
        assert line, end(process).stderr
        lines.append(line)
    serving, issued, _ = documents("".join(lines))
    with grpc.insecure_channel(serving["gRPC"]) as channel:
        again = get_token(channel, EMBEDDED_POOL_ID, {EMBEDDED_DEVELOPER_PROVIDER: "quickstart-user"})
    assert again.identity_id == issued["identity_id"] == shown[0].issued["identity_id"]
    process.send_signal(signal.SIGINT)
    ended = end(process)
    assert (ended.stderr, ended.returncode) == ("", 0)
