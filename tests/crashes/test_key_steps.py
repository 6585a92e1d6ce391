"""Servers and commands that are killed during a key change neither lose nor duplicate keys."""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import jwt
import pytest
from tests.crashes.dying_key_change import EARLY_BEGINNING, NEVER, REPLACEMENT, STEPS, VARIABLE
from tests.fakes.clock import FakeClock
from tests.support.calls import Caller
from tests.support.grpc_service import TIMEOUT
from tests.support.key_replica import ES256, KeyReplica
from tests.support.preloaded import ForkedProcess, fork
from tests.support.server_process import POOL_ID, ServerProcess, write_config
from tests.support.tokend import done

from tokend_server.config import KeyTimes, load_config
from tokend_server.engines.local.keys.keyring import SigningKey
from tokend_server.engines.local.stores.opening import open_migrated_store

if TYPE_CHECKING:
    from tests.support.postgresql import PostgresqlServer

TIMES = KeyTimes()
DAY = 86_400
MODULE = "tests.crashes.dying_key_change"
NO_ROTATION = {"TOKEND_KEYS_ROTATE_EVERY": "off"}


@pytest.fixture(params=["sqlite", "postgresql"])
def path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of a server, on a store of each kind."""
    if request.param == "postgresql":
        postgresql: PostgresqlServer = request.getfixturevalue("postgresql")
        monkeypatch.setenv("TOKEND_STORE_URL", postgresql.new_schema())
    return write_config(tmp_path)


def make_due(step: str, path: Path) -> Sequence[SigningKey]:
    """Gives the store a due change, a key to add or one to remove, and returns its signing keys."""
    with closing(open_migrated_store(load_config(path))) as store:
        age = 30 * DAY if step == "add" else TIMES.tokens_last + 60
        replica = KeyReplica(store, FakeClock(time.time() - age), TIMES)
        if step == "remove":
            replica.rotation.add(ES256, signs_in=0)
        return store.signing_keys()


def dying(point: str, *arguments: str) -> ForkedProcess:
    """Returns a command that dies at a point."""
    return fork(MODULE, arguments, os.environ | {VARIABLE: point}, Path.cwd(), 2)


def kept(path: Path) -> Sequence[SigningKey]:
    with closing(open_migrated_store(load_config(path))) as store:
        return store.signing_keys()


def key_set(server: ServerProcess) -> jwt.PyJWKSet:
    answer = httpx.get(f"{server.issuer}/.well-known/jwks.json", trust_env=False, verify=False)
    return jwt.PyJWKSet.from_dict(answer.raise_for_status().json())


def published(server: ServerProcess) -> list[str | None]:
    return [key.key_id for key in key_set(server).keys]


def signing(server: ServerProcess, caller: Caller) -> str:
    """Returns the signing key of a new token, after verifying it with the published keys."""
    token = caller.get_token("user").token
    kid: str = jwt.get_unverified_header(token)["kid"]
    jwt.decode(token, key_set(server)[kid], algorithms=["ES256"], audience=POOL_ID)
    return kid


def files_with(key: SigningKey, path: Path) -> list[str]:
    """Returns the files of the store that contain parts of a private key."""
    fragment = key.material.reveal().splitlines()[1].encode()
    return [file.name for file in path.parent.glob("tokend.db*") if fragment in file.read_bytes()]


@pytest.mark.parametrize("point", STEPS)
def test_a_step_that_a_kill_interrupts_is_done_once(point: str, path: Path) -> None:
    step = point.partition(":")[0]
    first, *rest = make_due(step, path)
    assert dying(point, "serve", "--config", str(path)).wait(TIMEOUT) == -signal.SIGKILL

    left = [key.kid for key in kept(path)]
    assert {first.kid, *(key.kid for key in rest)} >= set(left) or step == "add"
    with ServerProcess(path) as server, closing(Caller(server)) as caller:
        until = time.monotonic() + TIMEOUT
        while len(published(server)) != (2 if step == "add" else 1):
            assert time.monotonic() < until
            time.sleep(0.05)
        keys = kept(path)
        assert published(server) == [key.kid for key in keys]
        assert [key.generation for key in keys] == ([1, 2] if step == "add" else [2])
        # The key stored by the killed server is used; it is complete, and its signatures verify.
        assert set(left) - {first.kid} <= {key.kid for key in keys}
        assert signing(server, caller) in {key.kid for key in keys}
        if step == "remove":
            assert files_with(first, path) == []


@pytest.mark.parametrize("point", REPLACEMENT)
def test_the_replacement_of_a_compromised_key_is_finished_by_another_run(point: str, path: Path) -> None:
    (compromised,) = make_due("add", path)
    words = ("keys", "rotate", "--compromised", compromised.kid, "--config", str(path))
    assert dying(point, *words).wait(TIMEOUT) == -signal.SIGKILL

    left = kept(path)
    generations = {"before the new key is durable": [1], "when the old key is gone": [2]}.get(point, [1, 2])
    assert [key.generation for key in left] == generations
    with ServerProcess(path, NO_ROTATION) as server, closing(Caller(server)) as caller:
        assert published(server) == [key.kid for key in left]
        assert signing(server, caller) == left[-1].kid
        if compromised in left:
            done(*words)
        (key,) = kept(path)
        # A replacement that the killed command has made is the one that stays.
        assert key.generation == 2
        assert key in left or left == (compromised,)
        until = time.monotonic() + TIMEOUT
        while published(server) != [key.kid]:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert signing(server, caller) == key.kid
        assert files_with(compromised, path) == []


def test_a_server_follows_a_replacement_that_is_killed_half_way(path: Path) -> None:
    """It has read the keys before."""
    (compromised,) = make_due("add", path)
    words = ("keys", "rotate", "--compromised", compromised.kid, "--config", str(path))
    with ServerProcess(path, NO_ROTATION) as server, closing(Caller(server)) as caller:
        assert signing(server, caller) == compromised.kid
        assert dying("between the new key and the old", *words).wait(TIMEOUT) == -signal.SIGKILL
        _, replacing = kept(path)
        until = time.monotonic() + TIMEOUT
        while signing(server, caller) != replacing.kid:
            assert time.monotonic() < until
            time.sleep(0.05)
        done(*words)
        while published(server) != [replacing.kid]:
            assert time.monotonic() < until
            time.sleep(0.05)
            assert signing(server, caller) == replacing.kid


@pytest.mark.parametrize("point", EARLY_BEGINNING)
def test_a_key_that_every_verifier_has_fetched_is_activated_early_once(
    point: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEND_KEYS_ACTIVATE", "when seen")
    monkeypatch.setenv("TOKEND_KEYS_PUBLISH_BEFORE", "1d")
    config = load_config(path)
    with closing(open_migrated_store(config)) as store:
        replica = KeyReplica(store, FakeClock(time.time() - 600), config.keys.times)
        added = replica.rotation.add(ES256, signs_in=DAY)
        replica.pass_time(1)
        replica.fetched_by("envoy")
        replica.task.stop()
    assert dying(point, "serve", "--config", str(path)).wait(TIMEOUT) == -signal.SIGKILL

    first, killed = kept(path)
    assert (killed.signs_from < added.signs_from) == (point == "when it is durable")
    with ServerProcess(path, {VARIABLE: NEVER}, module=MODULE) as server, closing(Caller(server)) as caller:
        until = time.monotonic() + TIMEOUT
        while kept(path)[1].signs_from == added.signs_from:
            assert time.monotonic() < until
            time.sleep(0.05)
        # Six minutes before its time, both are published.
        assert published(server) == [first.kid, added.kid]
        assert signing(server, caller) == first.kid
    after = kept(path)
    assert [key.kid for key in after] == [first.kid, added.kid]
    if point == "when it is durable":
        assert after[1] == killed
