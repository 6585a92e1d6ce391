from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.rpc.audited import Audited, audited_service
from tests.rpc.rotated_files import Rotated
from tests.support.grpc_service import GrpcService, grpc_service

from tokend_server.rpc.message_wait import MessageWait


@pytest.fixture
def service() -> Iterator[GrpcService]:
    with grpc_service() as running:
        yield running


@pytest.fixture
def audited(tmp_path: Path) -> Iterator[Audited]:
    with audited_service(tmp_path) as running:
        yield running


@pytest.fixture
def rotated(tmp_path: Path) -> Rotated:
    return Rotated(tmp_path)


@pytest.fixture
def no_spare_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents the replacement of threads that wait for a message.

    On a busy machine, the wait may be longer than the 0.1 s for which a call keeps its thread. A spare thread would
    then handle calls that should wait.
    """
    monkeypatch.setattr(MessageWait, "check", lambda _wait: None)
