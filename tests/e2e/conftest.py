from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tests.support.server_process import ServerProcess, write_config


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with one pool, on free ports, with a store that does not exist yet."""
    return write_config(tmp_path)


@pytest.fixture(scope="module")
def served_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def channel(served_config: Path) -> Iterator[grpc.Channel]:
    """A server with a store that operators' commands use concurrently."""
    with ServerProcess(served_config) as server, grpc.insecure_channel(server.endpoint) as opened:
        yield opened
