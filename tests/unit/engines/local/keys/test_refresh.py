"""Keys of other processes are taken up by a thread of its own, without a probe."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from tests.support.grpc_service import PATIENCE
from tests.support.local_engine import LocalEngineUnderTest

from tokend_server.clock import SystemClock
from tokend_server.config import Config
from tokend_server.engines.build import Engines, build_engines
from tokend_server.engines.local import build
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.refresh import KeyRefresh
from tokend_server.engines.local.keys.rotation import KeyRotation
from tokend_server.engines.local.keys.signer import TokenSigner
from tokend_server.engines.local.keys.stored_keys import StoredKeys
from tokend_server.engines.local.keys.times import KEY_TIMES
from tokend_server.engines.local.stores.opening import open_store
from tokend_server.errors import EngineUnavailable
from tokend_server.metrics import Metrics

THREAD = "signing keys"


class FailingStore:
    """The real store, whose keys cannot be read while it has a failure."""

    def __init__(self, local: LocalEngineUnderTest) -> None:
        self._store = local.store
        self.failure: Exception | None = None
        self.readings = threading.Semaphore(0)

    def signing_keys(self) -> tuple[SigningKey, ...]:
        self.readings.release()
        if self.failure:
            raise self.failure
        return self._store.signing_keys()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the store has
        return getattr(self._store, name)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(data_dir=tmp_path)


@pytest.fixture
def engines(config: Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engines]:
    monkeypatch.setattr(build, "KEY_TIMES", replace(KEY_TIMES, refresh=0.01))
    built = build_engines(
        config, "https://issuer.example.test", Metrics(CollectorRegistry()), SystemClock(), lambda _: nullcontext()
    )
    yield built
    built.close()


def published(engines: Engines) -> list[str]:
    assert engines.local_keys
    return [key["kid"] for key in json.loads(engines.local_keys.key_set().jwks)["keys"]]


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.005)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


def test_keys_of_another_process_are_published_without_a_probe(engines: Engines, config: Config) -> None:
    engines.start()
    first = published(engines)
    with closing(open_store(config)) as store:
        added = KeyRotation(store, StoredKeys(), SystemClock()).add(
            SigningAlgorithm.RS512, signs_in=KEY_TIMES.publish_ahead
        )
        wait_until(lambda: published(engines) == [*first, added.kid])
        KeyRotation(store, StoredKeys(), SystemClock()).remove(added.kid, compromised=False)
        wait_until(lambda: published(engines) == first)


def test_a_look_at_the_backend_reads_no_keys(local: LocalEngineUnderTest) -> None:
    before = local.signer.key_set()
    KeyRotation(local.store, StoredKeys(), local.clock).add(SigningAlgorithm.ES256, signs_in=0)
    local.backend.check()
    assert local.signer.key_set() == before


def test_the_thread_is_there_from_the_start_to_the_end(engines: Engines) -> None:
    before = len(threads())
    engines.start()
    assert len(threads()) == before + 1
    engines.close()
    assert len(threads()) == before


def test_keys_that_cannot_be_read_leave_the_last_ones_in_use(local: LocalEngineUnderTest) -> None:
    store = FailingStore(local)
    signer = TokenSigner(store, StoredKeys(), local.clock)
    signer.refresh()
    held, refresh = signer.key_set(), KeyRefresh(signer, 1)
    refresh.check()
    for store.failure in (EngineUnavailable("It does not answer."), ValueError("no key")):
        refresh.refresh()
        for _ in range(2):
            with pytest.raises(type(store.failure), match=str(store.failure)):
                refresh.check()
        assert signer.key_set() == held
    store.failure = None
    refresh.refresh()
    refresh.check()


def test_whatever_goes_wrong_the_thread_goes_on(local: LocalEngineUnderTest) -> None:
    store = FailingStore(local)
    refresh = KeyRefresh(TokenSigner(store, StoredKeys(), local.clock), 0.001)
    store.failure = ValueError("no key")
    refresh.start()
    try:
        for _ in range(3):
            assert store.readings.acquire(timeout=PATIENCE)
        with pytest.raises(ValueError, match="no key"):
            refresh.check()
    finally:
        refresh.stop()
