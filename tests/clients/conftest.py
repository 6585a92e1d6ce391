from collections.abc import Iterator

import pytest
from tests.clients.conductor import Conductor, Harness
from tests.clients.guarded import Guarded, guarded_server


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """The environment of a runner of the conformance cases, with a server per module."""
    with Conductor(tmp_path_factory.mktemp("conformance")) as conductor:
        yield conductor.harness


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A server that requires authentication, one per module."""
    with guarded_server(tmp_path_factory.mktemp("guarded")) as running:
        yield running
