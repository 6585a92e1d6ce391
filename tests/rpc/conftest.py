from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.rpc.audited import Audited, audited_service
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
def no_spare_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps threads from being replaced while they wait for a message.

    On a busy machine that may take longer than the 0.1 s for which a call keeps its thread: a spare one would then work
    on calls that are to wait.
    """
    monkeypatch.setattr(MessageWait, "look", lambda _wait: None)
