from collections.abc import Iterator

import pytest
from tests.support.grpc_service import GrpcService, grpc_service


@pytest.fixture
def service() -> Iterator[GrpcService]:
    with grpc_service() as running:
        yield running
