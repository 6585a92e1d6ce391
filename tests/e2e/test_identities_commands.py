"""`tokend identities`, on the store of a server that runs; and the wrong usage of commands."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import grpc
import jwt
import pytest
from tests.support.calls import get_token
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, write_config
from tests.support.tokend import done, failed, run

from tokend.v1.developer_identity_service_pb2 import UnlinkDeveloperIdentityRequest
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub
from tokend_server.engines.local.administration import IdentityAdministration
from tokend_server.errors import EngineCredentialsRejected, EngineUnavailable, TokendError

UNKNOWN_POOL = "us-east-1:0a1b2c3d-0000-4000-8000-0000000000ff"
UNKNOWN_ID = "us-east-1:0a1b2c3d-0000-4000-8000-00000000dead"


@pytest.fixture(scope="module")
def pool(served_config: Path, channel: grpc.Channel) -> Sequence[str]:
    """The options of the running server's pool."""
    assert channel
    return ("--config", str(served_config), "--identity-pool-id", POOL_ID)


def test_a_guest_becomes_authenticated_when_a_login_is_linked(pool: Sequence[str], channel: grpc.Channel) -> None:
    guest = done("identities", "create", *pool)["IdentityId"]
    before = done("identities", "describe", *pool, guest)
    assert list(before) == ["IdentityId", "Logins", "CreationDate", "LastModifiedDate", "Disabled"]
    assert (before["IdentityId"], before["Logins"], before["Disabled"]) == (guest, [], False)

    logins = {DEVELOPER_PROVIDER: "cli-guest"}
    issued = get_token(channel, POOL_ID, logins, guest)
    assert issued.identity_id == guest == get_token(channel, POOL_ID, logins).identity_id
    claims = jwt.decode(issued.token, options={"verify_signature": False})
    assert (claims["sub"], claims["amr"][0]) == (guest, "authenticated")

    after = done("identities", "describe", *pool, guest)
    assert after["Logins"] == [DEVELOPER_PROVIDER]
    assert after["CreationDate"] == before["CreationDate"] <= after["LastModifiedDate"]
    assert datetime.fromisoformat(after["CreationDate"]).tzinfo
    assert "cli-guest" not in str(after)


@pytest.mark.parametrize(
    "words", [("list",), ("export",), ("describe", UNKNOWN_ID), ("delete", UNKNOWN_ID)], ids=" ".join
)
def test_a_missing_store_is_reported_and_not_created(tmp_path: Path, words: tuple[str, ...]) -> None:
    config, database = write_config(tmp_path), tmp_path / "tokend.db"
    command, *rest = words
    error = failed("identities", command, "--config", str(config), "--identity-pool-id", POOL_ID, *rest)
    assert error.startswith(f"Error: There is no store at {database}: ")
    assert not database.exists()


@pytest.fixture
def other_place(tmp_path: Path) -> Sequence[str]:
    """The options of the same pool on another machine."""
    return ("--config", str(write_config(tmp_path)), "--identity-pool-id", POOL_ID)


def test_identities_are_imported_from_a_pipe(pool: Sequence[str], other_place: Sequence[str], tmp_path: Path) -> None:
    done("identities", "create", *pool)
    lines, pipe = run("identities", "export", *pool).stdout, tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(lines,))
    writer.start()
    imported = run("identities", "import", *other_place, str(pipe))
    writer.join()
    assert imported.stdout == f"identities: {len(lines.splitlines())} created, 0 already present, 0 left out\n"
    assert run("identities", "export", *other_place).stdout == lines


@pytest.mark.parametrize("from_a_file", [True, False])
def test_identities_are_imported_from_standard_input(
    pool: Sequence[str], other_place: Sequence[str], tmp_path: Path, *, from_a_file: bool
) -> None:
    done("identities", "create", *pool)
    lines, file = run("identities", "export", *pool).stdout, tmp_path / "lines"
    file.write_text(lines, encoding="utf-8")
    command = [sys.executable, "-m", "tokend_server", "identities", "import", *other_place, "-"]
    with file.open(encoding="utf-8") as opened:
        given = {"stdin": opened} if from_a_file else {"input": lines}
        subprocess.run(command, check=True, encoding="utf-8", **given)
    assert run("identities", "export", *other_place).stdout == lines


def test_identities_are_listed_a_page_at_a_time(pool: Sequence[str], channel: grpc.Channel) -> None:
    ids = [get_token(channel, POOL_ID, {DEVELOPER_PROVIDER: f"cli-{name}"}).identity_id for name in ("bob", "carol")]
    DeveloperIdentityServiceStub(channel).UnlinkDeveloperIdentity(
        UnlinkDeveloperIdentityRequest(
            identity_pool_id=POOL_ID,
            identity_id=ids[0],
            developer_provider_name=DEVELOPER_PROVIDER,
            developer_user_identifier="cli-bob",
        ),
        timeout=30,
    )
    listed, without_disabled = (done("identities", "list", *pool, *option) for option in ([], ["--hide-disabled"]))
    assert list(listed) == ["IdentityPoolId", "Identities"]
    everyone = listed["Identities"]
    assert {each["IdentityId"]: each["Disabled"] for each in everyone if each["IdentityId"] in ids} == {
        ids[0]: True,
        ids[1]: False,
    }

    size = str(len(everyone) - 1)
    first = done("identities", "list", *pool, "--max-results", size)
    second = done("identities", "list", *pool, "--max-results", size, "--next-token", first["NextToken"])
    assert first["Identities"] + second["Identities"] == everyone
    assert len(second["Identities"]) == 1
    assert "NextToken" not in second

    assert without_disabled["Identities"] == [each for each in everyone if not each["Disabled"]]


def test_deleted_identities_are_gone_for_good(pool: Sequence[str], channel: grpc.Channel) -> None:
    users = [{DEVELOPER_PROVIDER: f"cli-{name}"} for name in ("dave", "erin", "frank")]
    dave, erin, frank = (get_token(channel, POOL_ID, user).identity_id for user in users)
    assert done("identities", "delete", *pool, dave, erin) == {"UnprocessedIdentityIds": []}
    assert failed("identities", "describe", *pool, dave) == f"Identity '{dave}' not found.\n"
    again = run("identities", "delete", *pool, dave, frank, UNKNOWN_ID)
    assert (json.loads(again.stdout), again.returncode) == ({"UnprocessedIdentityIds": []}, 1)
    assert again.stderr == f"Error: not found: {dave}, {UNKNOWN_ID}\n"
    new = [get_token(channel, POOL_ID, user).identity_id for user in users]
    assert not set(new) & {dave, erin, frank}


@pytest.mark.parametrize("failure", [EngineUnavailable, EngineCredentialsRejected])
def test_a_store_that_fails_for_one_identity_does_not_keep_the_others(
    failure: Callable[[str], TokendError], pool: Sequence[str], channel: grpc.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    grace, heidi = (get_token(channel, POOL_ID, {DEVELOPER_PROVIDER: name}).identity_id for name in ("grace", "heidi"))
    deleted = IdentityAdministration.delete

    def delete(administration: IdentityAdministration, identity_id: str) -> None:
        if identity_id == grace:
            raise failure("The identity store is away.")
        deleted(administration, identity_id)

    monkeypatch.setattr(IdentityAdministration, "delete", delete)
    ended = run("identities", "delete", *pool, grace, heidi)
    unprocessed = [{"IdentityId": grace, "ErrorCode": "InternalServerError"}]
    assert (json.loads(ended.stdout), ended.returncode) == ({"UnprocessedIdentityIds": unprocessed}, 1)
    assert ended.stderr == f"Error: {grace}: The identity store is away.\n"
    listed = done("identities", "list", *pool)["Identities"]
    assert [each["IdentityId"] for each in listed if each["IdentityId"] in {grace, heidi}] == [grace]


def test_an_unknown_pool_is_reported(config: Path) -> None:
    options = ("--config", str(config), "--identity-pool-id", UNKNOWN_POOL)
    commands = [("create",), ("list",), ("describe", UNKNOWN_ID), ("delete", UNKNOWN_ID)]
    for words in commands:
        assert failed("identities", *words, *options) == f"IdentityPool '{UNKNOWN_POOL}' not found.\n"


def test_wrong_usage_is_distinguished_from_failure(config: Path) -> None:
    pool_options = ("--config", str(config), "--identity-pool-id", POOL_ID)
    usages = {
        ("nothing-like-it",): "No such command",
        ("check-config", "--config", str(config.parent)): "is a directory",
        ("identities", "create"): "Missing option '--identity-pool-id'",
        ("identities", "describe", *pool_options): "Missing argument",
        ("identities", "delete", *pool_options): "Missing argument",
        ("identities", "list", *pool_options, "--max-results", "61"): "1<=x<=60",
    }
    for words, expected in usages.items():
        ended = run(*words)
        assert (ended.stdout, ended.returncode) == ("", 2)
        assert expected in ended.stderr
