from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.local_engine import LocalEngineUnderTest


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalEngineUnderTest]:
    under_test = LocalEngineUnderTest(tmp_path)
    yield under_test
    under_test.close()
