"""Private keys that are encrypted in the store, by the commands and servers of operators."""

import json
import os
import signal
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import jwt
import pytest
import urllib3
from tests.support.calls import Caller
from tests.support.grpc_service import TIMEOUT
from tests.support.health import NOT_SERVING, SERVING, wait_for, watch_health
from tests.support.metric_samples import total
from tests.support.preloaded import fork
from tests.support.server_process import ServerProcess, write_config
from tests.support.tokend import done, failed, run

_WORDS = ("PRIVATE KEY", "BEGIN")


def configured(directory: Path, encryption: str) -> Path:
    """Writes a configuration for the directory's store, next to others for the same store."""
    path = write_config(directory, f"[keys.encryption]\n{encryption}" if encryption else "")
    return path.rename(directory / f"{len(list(directory.glob('*.toml')))}.conf.toml")


def key_file(directory: Path, name: str = "key") -> Path:
    path = directory / name
    path.write_bytes(os.urandom(32))
    path.chmod(0o600)
    return path


def by_file(path: Path, *previous: Path) -> str:
    return f'method = "file"\nkey_file = "{path}"\nprevious_key_files = {[str(each) for each in previous]}\n'


def materials(directory: Path) -> Mapping[str, str]:
    with closing(sqlite3.connect(directory / "tokend.db")) as connection:
        return {kid: key.decode() for kid, key in connection.execute("SELECT kid, private_key FROM signing_keys")}


def rewrap_results(config: Path, *options: str) -> list[tuple[str, str]]:
    shown = done("keys", "rewrap", "--config", str(config), *options)["Keys"]
    return [(each["Rewrap"], each["Method"]) for each in shown]


def listed(config: Path) -> Any:  # noqa: ANN401 - JSON
    return done("keys", "list", "--config", str(config))


def key_set(server: ServerProcess) -> bytes:
    return urllib3.request("GET", f"{server.issuer}/.well-known/jwks.json", retries=False).data


def ready(server: ServerProcess) -> tuple[int, str]:
    answer = urllib3.request("GET", f"{server.ops}/readyz", retries=False)
    return answer.status, answer.data.decode()


def wait_for_readings(server: ServerProcess) -> None:
    """Waits until the server has read the current keys."""
    enough = readings(server) + 2
    while readings(server) < enough:
        time.sleep(0.05)


def readings(server: ServerProcess) -> float:
    metrics = urllib3.request("GET", f"{server.ops}/metrics", retries=False).data.decode()
    return total(metrics, "tokend_store_seconds_count", operation="signing_keys")


def test_a_running_server_keeps_its_published_keys_after_a_rewrap(tmp_path: Path) -> None:
    clear = configured(tmp_path, "")
    first, second = key_file(tmp_path), key_file(tmp_path, "second")
    done("keys", "add", "ES256", "--config", str(clear))
    before, kept = listed(clear), materials(tmp_path)
    with ServerProcess(configured(tmp_path, by_file(first, second))) as server, closing(Caller(server)) as caller:
        (warning,) = [record for record in server.log if "tokend keys rewrap" in record["message"]]
        assert warning["keys"] == list(kept)
        published, token = key_set(server), caller.get_token("u").token
        for config in (configured(tmp_path, by_file(first)), configured(tmp_path, by_file(second, first))):
            assert rewrap_results(config, "--dry-run") == [
                ("to be rewrapped", "clear" if kept == materials(tmp_path) else "file")
            ]
            assert rewrap_results(config) == [("rewrapped", "file")]
            assert rewrap_results(config) == [("is current", "file")]
            assert not any(word in text for word in _WORDS for text in materials(tmp_path).values())
            wait_for_readings(server)
            assert ready(server)[0] == 200
            assert key_set(server) == published
            assert jwt.get_unverified_header(caller.get_token("u").token) == jwt.get_unverified_header(token)
        assert listed(clear) == before
    back = configured(tmp_path, f'previous_key_files = ["{second}"]')
    assert rewrap_results(back) == [("rewrapped", "clear")]
    assert materials(tmp_path) == kept


def test_a_server_without_the_wrapping_key_keeps_serving_and_reports_it(tmp_path: Path) -> None:
    path = key_file(tmp_path)
    with ServerProcess(configured(tmp_path, "")) as server, closing(Caller(server)) as caller:
        watch = watch_health(caller.channel)
        wait_for(watch, SERVING)
        rewrap_results(configured(tmp_path, by_file(path)))
        wait_for(watch, NOT_SERVING)
        assert "that no file of [keys.encryption] holds" in ready(server)[1]
        assert caller.get_token("u").token
        (record,) = [record for record in server.log if "signing keys cannot be read" in record["message"]]
        assert "that no file of [keys.encryption] holds" in json.dumps(record)


def test_a_start_without_the_wrapping_key_fails_with_a_reason(tmp_path: Path) -> None:
    path = key_file(tmp_path)
    config = configured(tmp_path, by_file(path))
    done("keys", "add", "ES256", "--config", str(config))
    path.unlink()
    expected = f"configuration: keys.encryption: {path}: No such file or directory\n"
    assert failed("serve", "--config", str(config)).endswith(expected)
    assert failed("check-config", "--config", str(config)) == expected
    assert failed("keys", "rewrap", "--config", str(config)) == expected
    key_file(tmp_path)
    for words in (("serve",), ("keys", "rewrap")):
        assert "that no file of [keys.encryption] holds" in failed(*words, "--config", str(config))


def test_new_keys_are_encrypted_from_the_start(tmp_path: Path) -> None:
    config = configured(tmp_path, by_file(key_file(tmp_path)) + "accept_clear = false\n")
    with ServerProcess(config) as server, closing(Caller(server)) as caller:
        assert caller.get_token("u").token
    assert {json.loads(text)["method"] for text in materials(tmp_path).values()} == {"file"}
    assert not [record for record in server.log if record["level"] == "WARNING"]


def test_a_key_in_clear_may_be_refused(tmp_path: Path) -> None:
    config = configured(tmp_path, by_file(key_file(tmp_path)) + "accept_clear = false\n")
    done("keys", "add", "ES256", "--config", str(configured(tmp_path, "")))
    for words in (("serve",), ("keys", "rewrap")):
        assert "keys.encryption.accept_clear = false refuses" in failed(*words, "--config", str(config))


def test_copies_and_exports_of_a_store_have_nothing_in_clear(tmp_path: Path) -> None:
    config = configured(tmp_path, by_file(key_file(tmp_path)))
    done("keys", "add", "ES256", "--config", str(config))
    ((kid, material),) = materials(tmp_path).items()
    copy, target = tmp_path / "copy", tmp_path / "target"
    target.mkdir()
    assert run("backup", str(copy), "--config", str(config)).returncode == 0
    assert run("store", "copy", str(config), f"sqlite:///{target}/tokend.db").returncode == 0
    assert materials(target) == {kid: material}
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT private_key FROM signing_keys").fetchall() == [(material.encode(),)]
    wrapped = done("keys", "rewrap", "--config", str(configured(tmp_path, f'previous_key_files = ["{tmp_path}/key"]')))
    assert wrapped["Keys"][0]["Rewrap"] == "rewrapped"
    assert run("store", "copy", str(config), f"sqlite:///{target}/tokend.db").returncode == 0
    assert materials(target) == materials(tmp_path) != {kid: material}


@pytest.mark.parametrize("where", ["before", "in", "after"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_rewrap_that_is_killed_loses_no_key_and_is_finished_by_another(
    tmp_path: Path, where: str, number: int
) -> None:
    clear = configured(tmp_path, "")
    for _ in range(2):
        done("keys", "add", "ES256", "--config", str(clear))
    before, kept = listed(clear), materials(tmp_path)
    path = key_file(tmp_path)
    config = configured(tmp_path, by_file(path))
    words = ["keys", "rewrap", "--config", str(config)]
    killed = fork("tests.support.killed_rewrap", words, os.environ | {"KILLED": f"{where} {number}"}, tmp_path)
    assert killed.wait(TIMEOUT) == -signal.SIGKILL
    rewrapped = number if where == "after" else number - 1
    assert [text in kept.values() for text in materials(tmp_path).values()].count(False) == rewrapped
    assert listed(clear) == before
    assert sorted(rewrap_results(config)) == sorted(
        [("is current", "file")] * rewrapped + [("rewrapped", "file")] * (2 - rewrapped)
    )
    assert rewrap_results(configured(tmp_path, f'previous_key_files = ["{path}"]')) == [("rewrapped", "clear")] * 2
    assert materials(tmp_path) == kept


def test_keys_that_others_can_read_cause_a_warning(tmp_path: Path) -> None:
    (directory := tmp_path / "its keys").mkdir()
    path = key_file(directory)
    config = configured(tmp_path, by_file(path))
    assert run("check-config", "--config", str(config)).stderr == ""
    path.chmod(0o644)
    assert run("check-config", "--config", str(config)).stderr == (
        f"warning: keys.encryption.key_file: {path}: everybody on this machine may read or write it: "
        f"chmod o= '{path}'\n"
    )
    (warning,) = run("check-config", "--config", str(configured(tmp_path, ""))).stderr.splitlines()
    assert warning.startswith("warning: keys.encryption: private keys are stored in clear")
    assert run("check-config", TOKEND_DATA_DIR=str(tmp_path)).stderr == ""
