from collections.abc import Iterator

import pytest
from tests.support.pipes import Pipe, open_pipe


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    with open_pipe() as opened:
        yield opened
