"""`tokend keys status` and `tokend keys rotate`, on a store with or without a running server."""

import time
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.fakes.clock import FakeClock
from tests.support.grpc_service import TIMEOUT
from tests.support.key_replica import ES256, KeyReplica
from tests.support.managed_pools import MANAGED_POOLS
from tests.support.server_process import write_config
from tests.support.tokend import done, failed, run

from tokend_server import app
from tokend_server.clock import SystemClock
from tokend_server.config import Config, Grpc, Issuer, Keys, KeyTimes, Ops
from tokend_server.engines.local.keys.fetches import ServerNotes, record_of
from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.stores.sqlite.store import open_store

HOUR, DAY = 3600, 86_400
TIMES = KeyTimes()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose store has an ES256 key that is a day old, and an RS256 key that no pool uses."""
    path = write_config(tmp_path)
    with closing(open_store(tmp_path / "tokend.db")) as store:
        store.migrate()
        KeyReplica(store, FakeClock(time.time() - DAY), TIMES, algorithms=frozenset({ES256, SigningAlgorithm.RS256}))
    return path


def status(config: Path) -> dict[str, Any]:
    """Returns the command's output, by algorithm."""
    shown = done("keys", "status", "--config", str(config))
    assert (shown["RotateEvery"], shown["PublishBefore"]) == ("30d", "1h")
    return {each.pop("Algorithm"): each for each in shown["Algorithms"]}


def moment(shown: str) -> float:
    return datetime.fromisoformat(shown).timestamp()


def test_status_shows_what_happens_next_and_when(config: Path) -> None:
    shown = status(config)
    assert {algorithm: each["UsedByPools"] for algorithm, each in shown.items()} == {"ES256": True, "RS256": False}
    (key,), (step,) = shown["ES256"]["Keys"], shown["ES256"]["Next"]
    assert (key["State"], step["Action"], step["Generation"]) == ("signing", "add", 2)
    assert moment(step["SignsFrom"]) - moment(key["SignsFrom"]) == 30 * DAY
    assert moment(step["SignsFrom"]) - moment(step["At"]) == HOUR
    assert shown["RS256"]["Next"] == []


def test_a_rotation_is_planned_then_made_and_not_made_twice(config: Path) -> None:
    before = done("keys", "list", "--config", str(config))
    (planned,) = done("keys", "rotate", "--dry-run", "--config", str(config))["Steps"]
    assert (planned["Action"], planned["Algorithm"], planned["Generation"]) == ("add", "ES256", 2)
    assert moment(planned["SignsFrom"]) - moment(planned["At"]) == HOUR
    assert done("keys", "list", "--config", str(config)) == before

    (made,) = done("keys", "rotate", "--config", str(config))["Steps"]
    shown = status(config)["ES256"]
    assert [key["State"] for key in shown["Keys"]] == ["signing", "published"]
    assert shown["Keys"][1]["KeyId"] == made["KeyId"]
    assert [step["Action"] for step in shown["Next"]] == ["sign", "remove", "add"]
    assert moment(shown["Next"][1]["At"]) - moment(shown["Next"][0]["At"]) == TIMES.tokens_last

    (waiting,) = done("keys", "rotate", "ES256", "--config", str(config))["Steps"]
    assert (waiting["Action"], waiting["KeyId"]) == ("sign", made["KeyId"])
    assert status(config)["ES256"] == shown


def test_an_algorithm_that_is_named_is_rotated_alone(config: Path) -> None:
    (made,) = done("keys", "rotate", "RS512", "--config", str(config))["Steps"]
    assert (made["Algorithm"], made["Generation"]) == ("RS512", 1)
    assert moment(made["SignsFrom"]) - moment(made["At"]) == pytest.approx(HOUR, abs=5)


@pytest.mark.parametrize("words", [["rotate"], ["rotate", "--dry-run"], ["add", "ES256"]], ids=" ".join)
def test_no_key_is_added_by_a_clock_that_is_behind_the_servers(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """By the servers' clocks it would already sign, and the previous key be removed while its tokens are valid."""
    now = int(time.time())
    before = done("keys", "list", "--config", str(config))
    with closing(open_store(tmp_path / "tokend.db")) as store:
        notes = ServerNotes("serves", now, stopped=False, key_ids=frozenset(), fetches=())
        store.keep_fetch_record(record_of(notes))
        store.keep_fetch_record(record_of(replace(notes, server="stopped", noted_at=now + DAY, stopped=True)))
    monkeypatch.setattr(SystemClock, "now", staticmethod(lambda: now - TIMES.clock_skew - 1.0))
    assert failed("keys", *words, "--config", str(config)) == (
        f"Error: This machine's clock is {TIMES.clock_skew + 1} s behind a server's, by which the key would start to "
        "sign too early: set the clock first.\n"
    )
    assert done("keys", "list", "--config", str(config)) == before
    monkeypatch.setattr(SystemClock, "now", staticmethod(lambda: float(now - TIMES.clock_skew)))
    done("keys", *words, "--config", str(config))


def test_a_compromised_key_is_replaced_at_once(config: Path) -> None:
    (key,) = status(config)["ES256"]["Keys"]
    words = ["keys", "rotate", "--compromised", key["KeyId"], "--config", str(config)]
    planned = done(*words, "--dry-run")["Steps"]
    assert [step["Action"] for step in planned] == ["add", "remove"]
    assert moment(planned[0]["SignsFrom"]) < moment(planned[0]["At"])
    assert planned[1]["KeyId"] == key["KeyId"]
    assert status(config)["ES256"]["Keys"] == [key]

    made = done(*words)["Steps"]
    (left,) = status(config)["ES256"]["Keys"]
    assert (left["KeyId"], left["State"]) == (made[0]["KeyId"], "signing")
    assert failed(*words) == f"Error: There is no key {key['KeyId']}.\n"


def test_keys_of_pools_that_callers_make_are_in_use(tmp_path: Path, config: Path) -> None:
    """Such pools are only in the store."""
    (tmp_path / "aws.key").write_text(bytes(range(32)).hex(), encoding="ascii")
    with config.open("a", encoding="utf-8") as file:
        file.write(MANAGED_POOLS.format(directory=tmp_path))
    with closing(open_store(tmp_path / "tokend.db")) as store:
        old = FakeClock(time.time() - DAY)
        KeyReplica(store, old, TIMES, algorithms=frozenset({SigningAlgorithm.RS512}))
    (key,) = status(config)["RS512"]["Keys"]
    assert status(config)["RS512"]["UsedByPools"]
    error = failed("keys", "remove", key["KeyId"], "--compromised", "--config", str(config))
    assert "in an emergency `tokend keys rotate --compromised KEY_ID`" in error
    replaced = done("keys", "rotate", "--compromised", key["KeyId"], "--config", str(config))["Steps"]
    assert [step["Action"] for step in replaced] == ["add", "remove"]
    rotated = done("keys", "rotate", "--config", str(config))["Steps"]
    assert [step["Algorithm"] for step in rotated] == ["ES256", "RS512"]


@pytest.mark.parametrize(
    "words",
    [("list",), ("status",), ("verifiers",), ("rotate",), ("rotate", "--dry-run"), ("remove", "a-key"), ("rewrap",)],
    ids=" ".join,
)
def test_a_missing_store_is_reported_and_not_created(tmp_path: Path, words: tuple[str, ...]) -> None:
    config, database = write_config(tmp_path), tmp_path / "tokend.db"
    assert f"There is no store at {database}: " in failed("keys", *words, "--config", str(config))
    assert not database.exists()


def test_the_last_key_of_an_unused_algorithm_is_removed_only_with_compromised(config: Path) -> None:
    (key,) = status(config)["RS256"]["Keys"]
    assert "another one must sign first" in failed("keys", "remove", key["KeyId"], "--config", str(config))
    ended = run("keys", "remove", key["KeyId"], "--compromised", "--config", str(config))
    assert (ended.stdout, ended.stderr, ended.returncode) == ("", "", 0)
    assert "RS256" not in status(config)


def test_rotate_with_an_algorithm_and_a_compromised_key_is_wrong_usage(config: Path) -> None:
    ended = run("keys", "rotate", "ES256", "--compromised", "a-key", "--config", str(config))
    assert (ended.stdout, ended.returncode) == ("", 2)
    assert "name only the key" in ended.stderr


def test_the_embedded_default_rotates_a_key_of_thirty_days_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(open_store(tmp_path / "tokend.db")) as store:
        store.migrate()
        old = FakeClock(time.time() - 30 * DAY)
        (first,) = KeyReplica(store, old, TIMES, algorithms=frozenset({SigningAlgorithm.RS512})).published
    monkeypatch.setattr(Keys, "times", KeyTimes(refresh=0.05))
    local = {"listen": "127.0.0.1:0"}
    config = Config(data_dir=tmp_path, grpc=Grpc(listen=["127.0.0.1:0"]), issuer=Issuer(**local), ops=Ops(**local))
    service = app.start(config)
    try:
        until = time.monotonic() + TIMEOUT
        while len(kids := published(service.issuer)) < 2:
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        service.stop()
    assert kids[0] == first


def published(issuer: str) -> list[str]:
    answer = httpx.get(f"{issuer}/.well-known/jwks.json", trust_env=False, verify=False).raise_for_status()
    return [key["kid"] for key in answer.json()["keys"]]
