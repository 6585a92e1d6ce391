"""`tokend keys list`, `tokend keys add` and `tokend keys remove`."""

import sqlite3
import time
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import grpc
import httpx
import jwt
import pytest
from tests.support.calls import get_token
from tests.support.grpc_service import TIMEOUT
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, ServerProcess
from tests.support.tokend import done, failed, printed, run

from tokend_server.engines.local.stores.sqlite.store import open_store


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
            answer = httpx.get(
                f"{server.issuer}/.well-known/jwks.json", trust_env=False, verify=False
            ).raise_for_status()
            return [key["kid"] for key in answer.json()["keys"]]

        def wait_until_published(*kids: str) -> None:
            """Waits for the keys, which are read again every few seconds even without readiness checks."""
            until = time.monotonic() + TIMEOUT
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
