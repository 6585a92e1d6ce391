"""sidecar.yaml with two replicas: calls of the Go client do not fail when a replica ends, gracefully or not."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.clients.toolchains import BUILD_TIMEOUT
from tests.envoy.examples import Envoy, example
from tests.envoy.load_program import Load, Report, build
from tests.envoy.replicas import COGNITO_POOL_ID, Replica, replicas
from tests.fakes.cognito_script import Hang
from tests.fakes.cognito_upstream import CognitoUpstream
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID

ROUNDS = 3
CALLERS = 16

NO_RETRIES_BY_ENVOY = {"num_retries: 3": "num_retries: 0"}
NO_RETRIES_BY_THE_CLIENT = "-no-retries"

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("load"))


@pytest.fixture(scope="module")
def upstream() -> Iterator[CognitoUpstream]:
    with CognitoUpstream() as running:
        yield running


@pytest.fixture(scope="module")
def both(upstream: CognitoUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Replica]]:
    with replicas(tmp_path_factory.mktemp("replicas"), upstream.url) as running:
        yield running


@contextmanager
def sidecar(both: list[Replica], directory: Path, values: Mapping[str, str] | None = None) -> Iterator[Envoy]:
    """Runs the example in front of the replicas, both of them healthy."""
    first, second = both
    ports = {
        "port_value: 50050": "port_value: 0",
        "port_value: 50051": f"port_value: {first.port}",
        "port_value: 50052": f"port_value: {second.port}",
    }
    with Envoy(example("sidecar.yaml", {**ports, **(values or {})}), directory) as envoy:
        envoy.wait_until_healthy("tokend", 2)
        yield envoy


def load(program: Path, envoy: Envoy, pool: str, *options: str) -> Load:
    return Load(program, "-target", envoy.address, "-pool", pool, "-provider", DEVELOPER_PROVIDER, *options)


def restart_under_load(
    program: Path, envoy: Envoy, both: list[Replica], *options: str, announced: bool = False
) -> Report:
    """Restarts one replica after the other while callers call, and returns their results."""
    with load(program, envoy, POOL_ID, "-callers", str(CALLERS), *options) as calls:
        calls.wait_until_calling()
        for replica in both:
            assert replica.stop(announced=announced) == 0
            replica.start()
            envoy.wait_until_healthy("tokend", 2)
        return calls.end()


def crash_in_the_middle_of_a_call(
    program: Path, envoy: Envoy, both: list[Replica], upstream: CognitoUpstream, *options: str
) -> Report:
    """Kills the replica that is handling a call, and returns the caller's result."""
    upstream.script([Hang()])
    with load(program, envoy, COGNITO_POOL_ID, *options) as calls:
        upstream.wait_for_held(1)
        (busy,) = [replica for replica in both if replica.is_busy()]
        busy.kill()
        calls.wait_until_calling()
        report = calls.end()
    upstream.release()
    busy.start()
    return report


def test_a_rolling_restart_causes_no_failures(program: Path, both: list[Replica], tmp_path: Path) -> None:
    with sidecar(both, tmp_path) as envoy:
        reports = [restart_under_load(program, envoy, both) for _ in range(ROUNDS)]
    assert [report.failures for report in reports] == [{}] * ROUNDS
    assert all(report.calls > 10 * CALLERS for report in reports)


def test_a_rolling_restart_causes_failures_without_retries(program: Path, both: list[Replica], tmp_path: Path) -> None:
    with sidecar(both, tmp_path, NO_RETRIES_BY_ENVOY) as envoy:
        assert restart_under_load(program, envoy, both, NO_RETRIES_BY_THE_CLIENT).failures != {}


def test_an_announced_restart_needs_no_retries(program: Path, both: list[Replica], tmp_path: Path) -> None:
    with sidecar(both, tmp_path, NO_RETRIES_BY_ENVOY) as envoy:
        assert restart_under_load(program, envoy, both, NO_RETRIES_BY_THE_CLIENT, announced=True).failures == {}


def test_a_crash_during_a_call_causes_no_failures(
    program: Path, both: list[Replica], upstream: CognitoUpstream, tmp_path: Path
) -> None:
    with sidecar(both, tmp_path) as envoy:
        assert crash_in_the_middle_of_a_call(program, envoy, both, upstream).failures == {}


def test_a_crash_during_a_call_causes_failures_without_retries(
    program: Path, both: list[Replica], upstream: CognitoUpstream, tmp_path: Path
) -> None:
    with sidecar(both, tmp_path, NO_RETRIES_BY_ENVOY) as envoy:
        report = crash_in_the_middle_of_a_call(program, envoy, both, upstream, NO_RETRIES_BY_THE_CLIENT)
    assert report.failures != {}
