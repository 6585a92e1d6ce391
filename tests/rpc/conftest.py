from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.rpc.audited import Audited, audited_service
from tests.support.grpc_service import GrpcService, grpc_service


@pytest.fixture
def service() -> Iterator[GrpcService]:
    with grpc_service() as running:
        yield running


@pytest.fixture
def audited(tmp_path: Path) -> Iterator[Audited]:
    with audited_service(tmp_path) as running:
        yield running
