import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.cognito.running_service import TIMEOUT, RunningService, Services
from tests.fakes.cognito_script import Success
from tests.fakes.cognito_upstream import ACCESS_KEY, CognitoUpstream
from tests.support.aws_environment import give_credentials, without_aws_settings

from tokend_server.single_flight import SingleFlight

WaitForJoining = Callable[[int], None]


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """The upstream's credentials, and no other AWS settings."""
    without_aws_settings(monkeypatch, tmp_path)
    give_credentials(monkeypatch, ACCESS_KEY)
    return monkeypatch


@pytest.fixture
def upstream() -> Iterator[CognitoUpstream]:
    with CognitoUpstream() as running:
        yield running


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with Services(tmp_path) as made:
        yield made


class Pair(NamedTuple):
    """A service without retries, and its upstream."""

    service: RunningService
    upstream: CognitoUpstream


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("cognito")
    with pytest.MonkeyPatch.context() as environment, Services(directory) as made, CognitoUpstream() as running:
        without_aws_settings(environment, directory)
        give_credentials(environment, ACCESS_KEY)
        service = made.start(running.url, max_attempts=1, requests_per_second=0)
        service.get_token()
        yield Pair(service, running)


@pytest.fixture
def shared(_shared: Pair) -> Iterator[Pair]:
    """The same for all tests. After each test, the upstream has its default responses again."""
    yield _shared
    _shared.upstream.always(Success())


@pytest.fixture
def wait_for_joining(monkeypatch: pytest.MonkeyPatch) -> WaitForJoining:
    """Waits until this many more calls are running or queued, which is not visible from outside."""
    joined = threading.Semaphore(0)
    join = SingleFlight._join  # noqa: SLF001

    def joining(flights: SingleFlight, key: bytes) -> object:
        found = join(flights, key)
        joined.release()
        return found

    def wait(count: int) -> None:
        for _ in range(count):
            assert joined.acquire(timeout=TIMEOUT)

    monkeypatch.setattr(SingleFlight, "_join", joining)
    return wait
