from collections.abc import Iterator

import pytest
from tests.clients.conductor import Conductor, Harness


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """What a runner of the conformance cases is told; its server is the module's own."""
    with Conductor(tmp_path_factory.mktemp("conformance")) as conductor:
        yield conductor.harness
