"""Servers that are killed in the middle of a step of their keys lose none, and double none."""

import json
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
from tests.crashes.dying_key_task import POINTS, VARIABLE
from tests.fakes.clock import FakeClock
from tests.support.calls import Caller
from tests.support.grpc_service import PATIENCE
from tests.support.key_replica import ES256, KeyReplica
from tests.support.preloaded import fork
from tests.support.server_process import POOL_ID, ServerProcess, write_config

from tokend_server.config import KeyTimes, load_config
from tokend_server.engines.local.keys.keyring import SigningKey
from tokend_server.engines.local.stores.opening import open_migrated_store

if TYPE_CHECKING:
    from tests.support.postgresql import PostgresqlServer

TIMES = KeyTimes()
DAY = 86_400


@pytest.fixture(params=["sqlite", "postgresql"])
def path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of a server, on a store of each kind."""
    if request.param == "postgresql":
        postgresql: PostgresqlServer = request.getfixturevalue("postgresql")
        monkeypatch.setenv("TOKEND_STORE_URL", postgresql.new_schema())
    return write_config(tmp_path)


def make_due(step: str, path: Path) -> Sequence[SigningKey]:
    """A store in which a key is to be added, or one to be removed and none to be added."""
    with closing(open_migrated_store(load_config(path))) as store:
        age = 30 * DAY if step == "add" else TIMES.tokens_last + 60
        replica = KeyReplica(store, FakeClock(time.time() - age), TIMES)
        if step == "remove":
            replica.rotation.add(ES256, signs_in=0)
        return store.signing_keys()


def kept(path: Path) -> Sequence[SigningKey]:
    with closing(open_migrated_store(load_config(path))) as store:
        return store.signing_keys()


def published(server: ServerProcess) -> list[str]:
    answer = httpx.get(f"{server.issuer}/.well-known/jwks.json", trust_env=False).raise_for_status()
    return [key["kid"] for key in answer.json()["keys"]]


@pytest.mark.parametrize("point", POINTS)
def test_a_step_that_a_kill_interrupts_is_done_once(point: str, path: Path) -> None:
    step = point.partition(":")[0]
    first, *rest = make_due(step, path)
    killed = fork(
        "tests.crashes.dying_key_task",
        ["serve", "--config", str(path)],
        os.environ | {VARIABLE: point},
        Path.cwd(),
        2,
    )
    assert killed.wait(PATIENCE) == -signal.SIGKILL

    left = [key.kid for key in kept(path)]
    assert {first.kid, *(key.kid for key in rest)} >= set(left) or step == "add"
    with ServerProcess(path) as server, closing(Caller(server)) as caller:
        until = time.monotonic() + PATIENCE
        while len(published(server)) != (2 if step == "add" else 1):
            assert time.monotonic() < until
            time.sleep(0.05)
        keys = kept(path)
        assert published(server) == [key.kid for key in keys]
        assert [key.generation for key in keys] == ([1, 2] if step == "add" else [2])
        # What the killed server has kept is what goes on; it is whole, and verifies what it signs.
        assert set(left) - {first.kid} <= {key.kid for key in keys}
        token = caller.get_token("user").token
        jwks = jwt.PyJWKSet.from_json(json.dumps(httpx.get(f"{server.issuer}/.well-known/jwks.json").json()))
        jwt.decode(token, jwks[jwt.get_unverified_header(token)["kid"]], algorithms=["ES256"], audience=POOL_ID)
