"""tokend-agent on full and read-only disks."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.clients.python.agent.running import RunningAgent
from tests.clients.python.agent.settings import document
from tests.clients.toolchains import leave_out

from tokend_client.testing import FakeTokendServer

Toml = Callable[[dict[str, Any]], Path]

#: The lifetime in seconds of tokens whose refresh is due soon.
SHORT = 3


@pytest.fixture
def server() -> Iterator[FakeTokendServer]:
    """A server with the machine's clock, like the agent."""
    with FakeTokendServer(algorithm="ES256") as running:
        yield running


@pytest.fixture
def mount(tmp_path: Path) -> tuple[list[str], Path]:
    """A command that runs another one with a small file system mounted on a directory, and that directory."""
    directory = tmp_path / "mount"
    directory.mkdir()
    steps = f'mount -t tmpfs -o size=64k,mode=0755 tmpfs "{directory}" && exec "$@"'
    under = ["unshare", "--mount", "--map-root-user", "sh", "-c", steps, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*under, "true"], check=False, capture_output=True).returncode:
        leave_out(
            "this machine does not let processes mount a tmpfs in a namespace, so full and read-only disks are left out"
        )
    return under, directory


def test_a_full_disk_keeps_the_old_token_and_is_reported(
    toml: Toml, server: FakeTokendServer, mount: tuple[list[str], Path]
) -> None:
    under, directory = mount
    with RunningAgent(toml(document(server, directory, token_duration_seconds=SHORT)), under=under) as agent:
        agent.wait_for("ready: ")
        inside = Path(f"/proc/{agent.process.pid}/root{directory}")
        written = (inside / "token").read_bytes()
        _fill(inside / "filling")
        seen = agent.wait_for("No space left on device: free up space")
        assert len((inside / "token").read_bytes()) == len(written)
        assert httpx.get(f"{agent.health}/readyz", trust_env=False).json()["tokens"][0]["problem"]
        agent.wait_for("has expired", after=seen)
        assert b"." in (inside / "token").read_bytes(), "the old token is whole"
        (inside / "filling").unlink()
        seen = agent.wait_for("orders: written", after=seen)
        agent.wait_for("recovered", after=seen)
        assert (inside / "token").read_bytes() != written
        assert agent.end() == 0


def _fill(path: Path) -> None:
    room = os.statvfs(path.parent)
    path.write_bytes(b"x" * (room.f_bavail * room.f_frsize))


def test_a_read_only_mount_is_reported(toml: Toml, server: FakeTokendServer, mount: tuple[list[str], Path]) -> None:
    under, directory = mount
    with RunningAgent(toml(document(server, directory, token_duration_seconds=SHORT)), under=under) as agent:
        agent.wait_for("ready: ")
        seen = 0
        for option, text in (("ro", "the mount is read-only"), ("rw", "recovered")):
            enter = ["nsenter", "--user", "--mount", f"--target={agent.process.pid}", "--preserve-credentials"]
            remount = [*enter, "mount", "-o", f"remount,{option}", str(directory)]
            # An open file makes the mount busy.
            assert any(subprocess.run(remount, check=False).returncode == 0 for _ in range(10))
            seen = agent.wait_for(text, after=seen)
        assert agent.end() == 0
    assert json.dumps(agent.log).count("the mount is read-only") == 1, "it is logged once"


def test_a_file_that_is_a_mount_is_reported(
    toml: Toml, server: FakeTokendServer, mount: tuple[list[str], Path]
) -> None:
    under, directory = mount
    bind = f'touch "{directory}/token" && mount --bind "{directory}/token" "{directory}/token" && exec "$@"'
    with RunningAgent(toml(document(server, directory)), under=[*under, "sh", "-c", bind, "sh"]) as agent:
        agent.wait_for("mount its directory")
        assert agent.end() == 0
