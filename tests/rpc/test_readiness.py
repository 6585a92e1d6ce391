"""Readiness: the summary of backends, at a cost that does not grow with the pools."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from tests.fakes.clock import FakeClock
from tests.support.statements import executed_statements

from tokend_server.config import Config
from tokend_server.engines.build import Engines, build_engines
from tokend_server.engines.cognito.lasting_errors import LASTING_ERROR_SECONDS, MAX_NAMED, LastingErrors
from tokend_server.errors import EngineCredentialsRejected, EngineMisconfigured, EngineUnavailable
from tokend_server.metrics import Metrics
from tokend_server.rpc.readiness import Readiness

REJECTED = EngineCredentialsRejected("Refused.")
DOWN = EngineUnavailable("It does not answer.")


class Scripted:
    """A backend with a status set by the test."""

    def __init__(self, *problems: str, error: Exception | None = None) -> None:
        self._problems = problems
        self._error = error

    def check(self) -> Sequence[str]:
        if self._error:
            raise self._error
        return self._problems


@pytest.mark.parametrize(
    ("backends", "ready", "problems"),
    [
        ({"a": Scripted(), "b": Scripted()}, True, []),
        ({"a": Scripted(error=DOWN), "b": Scripted()}, False, ["a: It does not answer."]),
        ({"a": Scripted(error=REJECTED), "b": Scripted()}, True, ["a: Refused."]),
        ({"a": Scripted(error=REJECTED), "b": Scripted(error=REJECTED)}, False, ["a: Refused.", "b: Refused."]),
        ({"a": Scripted("pool: Refused.")}, True, ["pool: Refused."]),
        ({"a": Scripted(error=ValueError("canary")), "b": Scripted()}, False, ["a: internal error"]),
    ],
)
def test_backends_are_summed_up(backends: dict[str, Scripted], problems: list[str], *, ready: bool) -> None:
    notified: list[bool] = []
    assert Readiness(backends, notified.append).check() == (ready, problems)
    assert notified == [ready]


def built(directory: Path, engine: str, pools: int, metrics: Metrics) -> Engines:
    ids = [f"us-east-1:{number:08x}-0b1d-4c7e-9f00-6a1e7a5d3b21" for number in range(pools)]
    pool = {"engine": engine, "developer_provider_name": "login.example.test", "signing_algorithm": "ES256"}
    config = Config.model_validate({"data_dir": directory, "pools": dict.fromkeys(ids, pool)})
    return build_engines(config, "https://issuer.example.test", metrics, FakeClock(), nullcontext)


def statements_of_a_check(engines: Engines) -> int:
    with executed_statements() as statements:
        assert Readiness(engines.backends, lambda _ready: None).check() == (True, [])
    return len(statements)


def test_a_check_costs_the_same_for_many_pools(tmp_path: Path) -> None:
    costs = []
    for pools in (1, 30):
        directory = tmp_path / str(pools)
        directory.mkdir()
        engines = built(directory, "local", pools, Metrics(CollectorRegistry()))
        costs.append(statements_of_a_check(engines))
        engines.close()
    assert costs[0] == costs[1] > 0


def test_cognitos_pools_are_checked_by_region(tmp_path: Path) -> None:
    engines = built(tmp_path, "cognito", 30, Metrics(CollectorRegistry()))
    assert list(engines.backends) == ["cognito us-east-1"]
    engines.close()


@pytest.mark.parametrize("engine", ["local", "cognito"])
def test_metrics_do_not_grow_with_the_pools(engine: str, tmp_path: Path) -> None:
    lengths = []
    for pools in (3, 30):
        directory = tmp_path / str(pools)
        directory.mkdir()
        metrics = Metrics(CollectorRegistry(), labelled_pools=2)
        engines = built(directory, engine, pools, metrics)
        lengths.append(len(generate_latest(metrics.registry).splitlines()))
        engines.close()
    assert lengths[0] == lengths[1]


def test_pools_beyond_the_labelled_ones_share_a_label() -> None:
    metrics = Metrics(CollectorRegistry(), labelled_pools=2)
    assert [metrics.pool_label(pool) for pool in ("a", "b", "c", "a", "d")] == ["a", "b", "other", "a", "other"]


class TestLastingErrors:
    """Rejections by pool, aggregated for a region."""

    def test_few_pools_are_named_and_the_others_counted(self) -> None:
        watch = LastingErrors(FakeClock(), 100, lambda _pool, _change: None)
        for number in range(MAX_NAMED + 5):
            watch.record_error(f"pool-{number}", REJECTED)
        lines = watch.check()
        assert lines[0] == "pool-0: Refused."
        assert lines[MAX_NAMED:] == ["and 5 more pools"]

    def test_only_recent_rejections_count(self) -> None:
        clock = FakeClock()
        watch = LastingErrors(clock, 2, lambda _pool, _change: None)
        watch.record_error("a", REJECTED)
        clock.advance(LASTING_ERROR_SECONDS)
        watch.record_error("b", REJECTED)
        assert watch.check() == ["b: Refused."]

    def test_rejections_of_all_pools_fail_the_check_of_the_region(self) -> None:
        watch = LastingErrors(FakeClock(), 2, lambda _pool, _change: None)
        watch.record_error("a", REJECTED)
        watch.record_error("b", REJECTED)
        with pytest.raises(EngineCredentialsRejected):
            watch.check()

    def test_each_change_is_reported_once(self) -> None:
        notified: list[tuple[str, int]] = []
        watch = LastingErrors(FakeClock(), 2, lambda pool, change: notified.append((pool, change)))
        for _ in range(2):
            watch.record_error("a", REJECTED)
        for _ in range(2):
            watch.record_success("a")
        assert notified == [("a", 1), ("a", -1)]

    def test_only_rejected_credentials_change_the_metric(self) -> None:
        notified: list[tuple[str, int]] = []
        clock = FakeClock()
        watch = LastingErrors(clock, 2, lambda pool, change: notified.append((pool, change)))
        watch.record_error("a", EngineMisconfigured("x"))
        watch.record_error("a", EngineCredentialsRejected("x"))
        watch.record_error("a", EngineMisconfigured("x"))
        watch.record_success("a")
        assert notified == [("a", 1), ("a", -1)]
