"""The alert rules for key rotation: they fire only if rotation has stopped."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped] # it has no types
from prometheus_client import CollectorRegistry
from tests.fakes.clock import FakeClock
from tests.support.key_replica import ES256, KeyReplica
from tests.support.promql import Scrape, evaluate, scrape

from tokend_server.config import KeyTimes
from tokend_server.engines.local.keys.watching import watch_keys
from tokend_server.engines.local.stores.sqlite.store import open_store
from tokend_server.errors import EngineUnavailable
from tokend_server.metrics import Metrics

LOADED = yaml.safe_load(
    (Path(__file__).parents[5] / "server" / "deploy" / "prometheus" / "alerts.yaml").read_text("utf-8")
)
STOPPED, FAILING = "TokendKeyRotationHasStopped", "TokendKeyStepsFail"
RULES: dict[str, str] = {
    rule["alert"]: rule["expr"]
    for group in LOADED["groups"]
    for rule in group["rules"]
    if rule.get("alert") in {STOPPED, FAILING}
}
HOUR, DAY, MINUTE = 3600, 86_400, 60
DOWN = EngineUnavailable("It does not answer.")


class Watched:
    """A server, and Prometheus's scrapes of it."""

    def __init__(self, replica: KeyReplica) -> None:
        self.replica = replica
        metrics = Metrics(CollectorRegistry())
        self._registry = metrics.registry
        self._failed = metrics.signing_key_failures
        watch_keys(replica.signer, {ES256}, KeyTimes(), metrics, replica.clock)
        self.scrapes: list[Scrape] = []

    def pass_time(self, seconds: float, *, acts: bool = True) -> None:
        before = len(self.replica.failures)
        self.replica.clock.advance(seconds)
        if acts:
            self.replica.task.run_due_steps()
        for step in self.replica.failures[before:]:
            self._failed.labels(step).inc()
        self.scrapes.append(scrape(self._registry, self.replica.clock.now()))

    def fires(self, alert: str) -> bool:
        return bool(evaluate(RULES[alert], self.scrapes))


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    store = open_store(tmp_path / "tokend.db")
    store.migrate()
    yield Watched(KeyReplica(store, FakeClock(), KeyTimes()))
    store.close()


def test_while_keys_rotate_no_alert_fires(watched: Watched) -> None:
    for _ in range(24 * 70):
        watched.pass_time(HOUR)
        assert not any(watched.fires(alert) for alert in RULES)
    assert watched.replica.signs_with() in watched.replica.published


@pytest.mark.parametrize("cause", ["the thread has ended", "the store takes no writes", "the keys cannot be read"])
def test_a_stopped_rotation_is_reported(watched: Watched, cause: str) -> None:
    if cause == "the store takes no writes":
        watched.replica.store.refusal = DOWN
    if cause == "the keys cannot be read":
        watched.replica.store.failure = DOWN
    acts = cause != "the thread has ended"
    watched.pass_time(30 * DAY + 10 * MINUTE, acts=acts)
    assert not watched.fires(STOPPED)
    watched.pass_time(1, acts=acts)
    assert watched.fires(STOPPED)
    watched.replica.find_store()
    watched.pass_time(MINUTE)
    watched.pass_time(HOUR)
    assert not watched.fires(STOPPED)


@pytest.mark.parametrize("reads", [True, False])
def test_failed_steps_are_reported_before_the_rotation_has_stopped(watched: Watched, *, reads: bool) -> None:
    watched.pass_time(30 * DAY - HOUR - 1)
    watched.replica.store.refusal = DOWN
    watched.replica.store.failure = None if reads else DOWN
    for _ in range(15):
        watched.pass_time(MINUTE)
    assert watched.fires(FAILING)
    assert not watched.fires(STOPPED)


def test_without_rotation_no_alert_fires(tmp_path: Path) -> None:
    store = open_store(tmp_path / "tokend.db")
    store.migrate()
    replica = KeyReplica(store, FakeClock(), KeyTimes(rotate_every=None))
    metrics = Metrics(CollectorRegistry())
    watch_keys(replica.signer, {ES256}, KeyTimes(rotate_every=None), metrics, replica.clock)
    replica.pass_time(1000 * DAY)
    assert not evaluate(RULES[STOPPED], [scrape(metrics.registry, replica.clock.now())])
    store.close()
