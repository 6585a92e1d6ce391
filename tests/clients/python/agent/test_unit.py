"""The agent's unit: systemd accepts it, and the agent runs with its restrictions. systemd itself does not run here."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.clients.python.agent.running import RunningAgent
from tests.clients.python.agent.settings import document
from tests.clients.toolchains import ROOT, ended, leave_out, need

from tokend_client.testing import FakeTokendServer

UNIT = ROOT / "clients" / "python" / "examples" / "tokend-agent.service"

CONFINED = ROOT / "tests" / "deploy" / "confined.py"


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    analyze = need("systemd-analyze", "the check of the agent's unit")
    installed = tmp_path / "tokend-agent.service"
    text = UNIT.read_text(encoding="utf-8").replace("/opt/tokend-agent/bin/tokend-agent ", f"{shutil.which('true')} ")
    installed.write_text(text, encoding="utf-8")
    verified = ended([analyze, "verify", "--man=no", str(installed)], tmp_path)
    assert (verified.returncode, verified.stdout) == (0, "")


def test_the_unit_has_a_low_systemd_exposure_level(tmp_path: Path) -> None:
    analyze = need("systemd-analyze", "the check of the agent's unit")
    rated = ended([analyze, "security", "--offline=yes", "--threshold=20", str(UNIT)], tmp_path)
    assert rated.returncode == 0, rated.stdout


def test_the_agent_runs_under_what_the_unit_demands(toml: Callable[[dict[str, Any]], Path], directory: Path) -> None:
    if os.geteuid() or not sys.platform.startswith("linux"):
        leave_out("only root can mount, so that the restrictions of the agent's unit are left out")
    need("systemd-analyze", "the restrictions of the agent's unit")
    unshare = need("unshare", "the restrictions of the agent's unit")
    under = [unshare, "--mount", "--propagation", "private", sys.executable, str(CONFINED), str(UNIT), str(directory)]
    with FakeTokendServer(algorithm="ES256") as server:
        tables = document(server, directory, layout="projected", mode="0640", group=os.getegid())
        with RunningAgent(toml(tables), under=under) as agent:
            agent.wait_for("ready: ")
            status = (directory / "token").stat()
            assert (status.st_mode & 0o777, status.st_gid) == (0o640, os.getegid())
            assert agent.end() == 0
