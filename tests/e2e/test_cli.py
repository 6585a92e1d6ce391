"""`python -m tokend_server` as operators run it."""

import json
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests.support.grpc_service import PATIENCE
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, ServerProcess, write_config
from tests.support.tokend import Ended, done, end, failed, printed, run, start

from tokend.v1.developer_identity_service_pb2 import (
    GetOpenIdTokenForDeveloperIdentityRequest,
    GetOpenIdTokenForDeveloperIdentityResponse,
    UnlinkDeveloperIdentityRequest,
)
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub
from tokend_server.config import EMBEDDED_DEVELOPER_PROVIDER, EMBEDDED_POOL_ID, environment_variables
from tokend_server.engines.local.administration import IdentityAdministration
from tokend_server.engines.local.stores.sqlite.store import open_store
from tokend_server.errors import EngineUnavailable

UNKNOWN_POOL = "us-east-1:0a1b2c3d-0000-4000-8000-0000000000ff"
UNKNOWN_ID = "us-east-1:0a1b2c3d-0000-4000-8000-00000000dead"


def documents(output: str) -> list[Any]:
    """The JSON documents of quickstart's output, which stand between titles."""
    found = []
    decoder = json.JSONDecoder()
    position = output.find("\n{\n")
    while position != -1:
        document, position = decoder.raw_decode(output, position + 1)
        found.append(document)
        position = output.find("\n{\n", position)
    return found


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


class Quickstart:
    """What a quickstart has shown."""

    def __init__(self, ended: Ended) -> None:
        assert (ended.stderr, ended.returncode) == ("", 0)
        self.serving, self.issued, self.verified = documents(ended.stdout)


def private_keys(database: Path) -> dict[str, Any]:
    """The signing keys of a store, by kid."""
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT kid, private_key FROM signing_keys").fetchall()
    return {kid: load_pem_private_key(pem, None) for kid, pem in rows}


def get_token(
    channel: grpc.Channel, identity_pool_id: str, logins: dict[str, str], identity_id: str = ""
) -> GetOpenIdTokenForDeveloperIdentityResponse:
    request = GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=identity_pool_id, logins=logins, identity_id=identity_id
    )
    return DeveloperIdentityServiceStub(channel).GetOpenIdTokenForDeveloperIdentity(request, timeout=30)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quickstart") / "data"


@pytest.fixture(scope="module")
def shown(data_dir: Path) -> Sequence[Quickstart]:
    """Two at once on a data directory that is not there yet, while the customary ports are taken."""
    with ExitStack() as taken:
        for port in (50051, 8080, 9090):
            try:
                taken.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue  # taken by another process, which is as good
        both = [start("quickstart", "--once", TOKEND_DATA_DIR=str(data_dir)) for _ in range(2)]
        return [Quickstart(end(each)) for each in both]


def test_quickstart_shows_a_token_that_verifies_as_it_says(shown: Sequence[Quickstart]) -> None:
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
    again = Quickstart(end(start("quickstart", "--once", TOKEND_DATA_DIR=str(data_dir))))
    assert again.issued["identity_id"] == shown[0].issued["identity_id"]
    assert again.verified["header"] == shown[0].verified["header"]


def test_what_quickstart_keeps_is_for_its_owner_alone(shown: Sequence[Quickstart], data_dir: Path) -> None:
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


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with one pool, on free ports and a store that is not there yet."""
    return write_config(tmp_path)


@pytest.fixture(scope="module")
def served_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def channel(served_config: Path) -> Iterator[grpc.Channel]:
    """A server on a store that operators' commands use at the same time."""
    with ServerProcess(served_config) as server, grpc.insecure_channel(server.endpoint) as opened:
        yield opened


def test_check_config_says_what_would_be_served(config: Path) -> None:
    ended = run("check-config", TOKEND_CONFIG=str(config))
    store = config.parent / "tokend.db"
    assert ended.stdout == f"ok: 1 pool(s), gRPC on 127.0.0.1:0, store {store}\n"
    assert ended.returncode == 0
    (warning,) = ended.stderr.splitlines()
    assert warning.startswith("warning: keys.encryption: private keys are kept in clear")
    assert not store.exists()


def test_check_config_names_every_problem(config: Path) -> None:
    config.write_text('[grpc]\nthreads = 0\nlisten = ["0.0.0.0:1"]\n[log]\nlevel = "loud"\n', encoding="utf-8")
    said = failed("check-config", "--config", str(config), TOKEND_TYPO="1")
    assert [line.split(": ")[:2] for line in said.splitlines()] == [
        ["configuration", "pools"],
        ["configuration", "TOKEND_TYPO"],
        ["configuration", "grpc.threads"],
        ["configuration", "log.level"],
    ]


def test_the_variables_of_a_service_are_reported_once(config: Path) -> None:
    service = {"TOKEND_PORT": "tcp://10.96.0.17:50051", "TOKEND_GRPC_SERVICE_HOST": "10.96.0.17"}
    checked = run("check-config", "--config", str(config), **service)
    line, _in_clear = checked.stderr.splitlines()
    assert line.startswith("warning: environment: TOKEND_GRPC_SERVICE_HOST, TOKEND_PORT: ")
    assert checked.returncode == 0
    with ServerProcess(config, service) as server:
        told = [record for record in server.log if "TOKEND_PORT" in record["message"]]
    assert [record["level"] for record in told] == ["WARNING"]


def test_the_reference_has_a_row_for_every_setting() -> None:
    ended = run("check-config", "--reference", TOKEND_LOG_LEVEL="wrong but not looked at")
    assert (ended.stderr, ended.returncode) == ("", 0)
    header, rule, *rows = (line.strip("| ").split(" | ") for line in ended.stdout.splitlines())
    assert (header, rule) == (["setting", "default", "meaning"], ["---|---|---"])
    settings = [section + "." + name if section else name for section, name in environment_variables().values()]
    assert {f"`{name}`" for name in settings if name not in {"policy", "pools"}} <= {row[0] for row in rows}
    assert ['`pools."ID".signing_algorithm`', "`RS512`", "Local engine: JWS algorithm of its tokens"] in rows
    assert all(len(row) == 3 and all(row) for row in rows)


def test_migrate_brings_the_schema_up_to_date_once(config: Path) -> None:
    for expected in ("applied: 0001, 0002, 0003, 0004, 0005\n", "up to date\n"):
        ended = run("migrate", "--config", str(config))
        assert (ended.stdout, ended.stderr, ended.returncode) == (expected, "", 0)


def test_serve_does_not_migrate_where_that_is_off(config: Path) -> None:
    switches = {"TOKEND_STORE_MIGRATE_ON_START": "false", "TOKEND_LOG_LEVEL": "error"}
    said = failed("serve", "--config", str(config), **switches)
    assert (
        said
        == "configuration: store: the schema lacks the migrations 0001, 0002, 0003, 0004, 0005; run `tokend migrate`\n"
    )


def test_serve_refuses_a_store_that_is_none(config: Path) -> None:
    database = config.parent / "tokend.db"
    database.touch(mode=0o600)
    database.write_bytes(b"This is no database. " * 100)
    said = failed("serve", "--config", str(config), TOKEND_LOG_LEVEL="error")
    assert said.startswith(
        f"The identity store does not answer (SQLITE_NOTADB). {config.parent}/tokend.db is no SQLite "
    )


@pytest.mark.parametrize("section", ["grpc", "issuer", "ops"])
def test_serve_says_which_address_is_taken(section: str, config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        variable = f"TOKEND_{section.upper()}_LISTEN"
        said = failed("serve", "--config", str(config), TOKEND_LOG_LEVEL="error", **{variable: address})
    # gRPC's own library may have its say before.
    (line,) = [line for line in said.splitlines() if not line.startswith("E")]
    assert line.startswith(f"configuration: {section}.listen: cannot listen on {address}")


@pytest.mark.parametrize(
    ("number", "delay", "announced"), [(signal.SIGTERM, "0.25", 0.25), (signal.SIGINT, "600", 0.0)]
)
def test_a_signal_ends_serve_in_good_order(number: int, delay: str, announced: float, config: Path) -> None:
    with ServerProcess(config, {"TOKEND_GRPC_DRAIN_DELAY_SECONDS": delay}, afresh=True) as server:
        os.kill(server.pid, number)
        assert server.wait() == 0
    assert server.log[-1] | {"time": ""} == {
        "time": "",
        "level": "INFO",
        "logger": "tokend_server.cli.serve",
        "message": "draining",
        "delay_seconds": announced,
    }
    assert all(line.startswith("{") for line in server.output)


def test_what_serve_keeps_is_for_its_owner_alone(served_config: Path, channel: grpc.Channel) -> None:
    get_token(channel, POOL_ID, {DEVELOPER_PROVIDER: "cli-alice"})
    files = list(served_config.parent.glob("tokend.db*"))
    assert len(files) == 3  # the database, its log, and the log's index
    assert {mode(file) for file in files} == {0o600}


def test_keys_are_listed_with_their_states_and_without_their_secrets(config: Path) -> None:
    database = config.parent / "tokend.db"
    with closing(open_store(database)) as store:
        store.migrate()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executemany(
            "INSERT INTO signing_keys VALUES (?, ?, ?, CAST('canary-4715' AS BLOB), 1000000000, ?)",
            [
                ("old", "RS512", 1, 1_000_000_000),
                ("now", "RS512", 2, 1_500_000_000),
                ("next", "RS512", 3, 9_000_000_000),
                ("other", "ES256", 1, 1_000_000_000),
            ],
        )
    ended = run("keys", "list", "--config", str(config))
    keys = printed(ended)["Keys"]
    assert [(key["KeyId"], key["Algorithm"], key["State"]) for key in keys] == [
        ("other", "ES256", "signing"),
        ("old", "RS512", "retired"),
        ("now", "RS512", "signing"),
        ("next", "RS512", "published"),
    ]
    members = ["KeyId", "Algorithm", "State", "CreationDate", "SignsFrom"]
    assert [list(key) for key in keys] == [members, [*members, "TokensExpiredBy"], members, members]
    assert keys[2]["SignsFrom"] == "2017-07-14T02:40:00+00:00"
    assert keys[1]["TokensExpiredBy"] == "2017-07-15T03:00:00+00:00"
    assert "canary-4715" not in ended.stdout


def test_keys_are_added_and_removed_while_the_server_runs(config: Path) -> None:
    with ServerProcess(config) as server, grpc.insecure_channel(server.endpoint) as channel:

        def signing() -> str:
            token = get_token(channel, POOL_ID, {DEVELOPER_PROVIDER: "cli-alice"}).token
            key = jwt.PyJWKClient(f"{server.issuer}/.well-known/jwks.json").get_signing_key_from_jwt(token)
            jwt.decode(token, key, algorithms=["ES256"], audience=POOL_ID)
            return str(jwt.get_unverified_header(token)["kid"])

        def published() -> list[str]:
            answer = httpx.get(f"{server.issuer}/.well-known/jwks.json").raise_for_status()
            return [key["kid"] for key in answer.json()["keys"]]

        def wait_until_published(*kids: str) -> None:
            """Keys are read again every few seconds, though nothing asks for readiness."""
            until = time.monotonic() + PATIENCE
            while published() != list(kids):
                assert time.monotonic() < until
                time.sleep(0.05)

        def states() -> dict[str, str]:
            return {key["KeyId"]: key["State"] for key in done("keys", "list", "--config", str(config))["Keys"]}

        first = signing()
        waiting = done("keys", "add", "ES256", "--config", str(config))
        wait_until_published(first, waiting["KeyId"])
        assert signing() == first
        assert states() == {first: "signing", waiting["KeyId"]: "published"}
        until = datetime.fromisoformat(waiting["SignsFrom"]) - datetime.fromisoformat(waiting["CreationDate"])
        assert until == timedelta(hours=1)

        assert "signs" in failed("keys", "remove", first, "--config", str(config))
        replacing = done("keys", "add", "ES256", "--signs-in", "0", "--config", str(config))["KeyId"]
        wait_until_published(first, waiting["KeyId"], replacing)
        assert signing() == replacing
        assert "may be valid until" in failed("keys", "remove", first, "--config", str(config))
        for words in ([first, "--compromised"], [waiting["KeyId"]]):
            ended = run("keys", "remove", *words, "--config", str(config))
            assert (ended.stdout, ended.stderr, ended.returncode) == ("", "", 0)
        assert states() == {replacing: "signing"}
        wait_until_published(replacing)
        assert signing() == replacing


@pytest.mark.parametrize("key_id", ["no-such-key", "-Rno-such-key", "--no-such-key"])
@pytest.mark.parametrize("command", [["remove"], ["rotate", "--compromised"]])
def test_a_key_that_is_not_there_is_reported(config: Path, command: list[str], key_id: str) -> None:
    assert run("migrate", "--config", str(config)).returncode == 0
    assert failed("keys", *command, key_id, "--config", str(config)) == f"Error: There is no key {key_id}.\n"


@pytest.fixture(scope="module")
def pool(served_config: Path, channel: grpc.Channel) -> Sequence[str]:
    """The options that name the pool of the server, which runs."""
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


def test_a_store_that_fails_for_one_identity_does_not_keep_the_others(
    pool: Sequence[str], channel: grpc.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    grace, heidi = (get_token(channel, POOL_ID, {DEVELOPER_PROVIDER: name}).identity_id for name in ("grace", "heidi"))
    deleted = IdentityAdministration.delete

    def delete(administration: IdentityAdministration, identity_id: str) -> None:
        if identity_id == grace:
            raise EngineUnavailable("The identity store is away.")
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
