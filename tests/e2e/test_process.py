"""The process of a server, as the pages under `server` describe it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.server_process import ServerProcess, write_config

from tokend_server.config import Grpc


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(write_config(tmp_path_factory.mktemp("process"))) as server:
        yield server


def test_core_dumps_are_disabled(server: ServerProcess) -> None:
    limits = Path(f"/proc/{server.pid}/limits").read_text(encoding="ascii")
    assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)


def test_the_number_of_threads_matches_the_page(server: ServerProcess) -> None:
    page = " ".join((Path(__file__).parents[2] / "server/metrics.md").read_text(encoding="utf-8").split())
    assert "and about sixty more" in page
    others = len(list(Path(f"/proc/{server.pid}/task").iterdir())) - 3 * Grpc().threads
    assert others == pytest.approx(60, abs=10)
