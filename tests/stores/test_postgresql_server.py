"""The PostgreSQL servers of the tests leave nothing on the machine."""

from pathlib import Path

import pytest
from tests.support.postgresql import own_server, run_directory


def test_a_killed_server_leaves_no_shared_memory(tmp_path_factory: pytest.TempPathFactory) -> None:
    with own_server(run_directory(tmp_path_factory)) as server:
        segment, maps = server.shared_memory, Path(f"/proc/{server.pid}/maps").read_text()
        assert segment in _segments()
        assert "/dev/shm/" not in maps
        server.kill()
        assert segment not in _segments()


def _segments() -> set[int]:
    """Returns the ids of all System V segments of the machine."""
    _, *rows = Path("/proc/sysvipc/shm").read_text().splitlines()
    return {int(row.split()[1]) for row in rows}
