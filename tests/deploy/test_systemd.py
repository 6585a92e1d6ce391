"""The systemd unit: systemd accepts it, and tokend serves with its restrictions. systemd itself does not run here."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import grpc
import httpx
import pytest
from tests.clients.toolchains import ended, leave_out, need
from tests.support.files import until_exists
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, ServerProcess, write_config

from tokend.v1.developer_identity_service_pb2 import GetOpenIdTokenForDeveloperIdentityRequest
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub

UNITS = Path(__file__).parents[2] / "server" / "deploy" / "systemd"
UNIT = UNITS / "tokend.service"
CONFINED = Path(__file__).with_name("confined.py")

#: Operations that the restrictions must prevent, as programs that exit with 0 without them.
FORBIDDEN = {
    "to write elsewhere": "open('../elsewhere', 'w')",
    "a socket of another family": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "memory that is written and executed": "import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)",
    "a privileged call": "import os; os.chown('own', 1, 1)",
    "a namespace": "import ctypes; assert not ctypes.CDLL(None).unshare(0x20000), 'refused'",
}


@pytest.fixture(scope="module")
def under() -> list[str]:
    """Returns the prefix of a command with the unit's restrictions; the writable directory and the command follow."""
    if os.geteuid() or not sys.platform.startswith("linux"):
        leave_out("only root can mount, so that the restrictions of the unit are left out")
    need("systemd-analyze", "the restrictions of the unit are")
    unshare = need("unshare", "the restrictions of the unit are")
    return [unshare, "--mount", "--propagation", "private", sys.executable, str(CONFINED), str(UNIT)]


def test_systemd_analyze_accepts_the_unit(tmp_path: Path) -> None:
    analyze = need("systemd-analyze", "the check of the unit")
    installed = tmp_path / "tokend.service"
    installed.write_text(
        UNIT.read_text("utf-8").replace("/opt/tokend/bin/tokend ", f"{shutil.which('true')} "), "utf-8"
    )
    verified = ended([analyze, "verify", "--man=no", str(installed)], tmp_path)
    assert (verified.returncode, verified.stdout) == (0, "")


def test_the_install_page_names_each_documentation_file_of_the_unit() -> None:
    page = (UNITS.parents[1] / "install.md").read_text("utf-8")
    named = re.findall(r"^Documentation=file:(.*)$", UNIT.read_text("utf-8"), re.MULTILINE)
    assert [path for path in named if path not in page] == []


def test_systemd_rates_the_exposure_of_the_unit_as_low() -> None:
    analyze = need("systemd-analyze", "the check of the unit")
    rated = ended([analyze, "security", "--offline=yes", "--threshold=15", str(UNIT)], UNITS)
    assert rated.returncode == 0, rated.stdout


def test_systemd_sysusers_accepts_the_user(tmp_path: Path) -> None:
    sysusers = need("systemd-sysusers", "the check of the user")
    made = ended([sysusers, "--dry-run", "--root", str(tmp_path), str(UNITS / "tokend.sysusers.conf")], UNITS)
    assert made.returncode == 0
    assert "Would create user" in made.stdout or "Creating user 'tokend'" in made.stdout


def test_tokend_serves_with_the_restrictions_of_the_unit(under: list[str], tmp_path: Path) -> None:
    extra = f'[audit]\ndestination = "file:{tmp_path}/audit.log"\nrequired = true'
    with listening(tmp_path / "notify") as messages:
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        with ServerProcess(write_config(tmp_path, extra), environment, under=[*under, str(tmp_path)]) as server:
            assert [messages.get(), messages.get()] == [b"READY=1", b"WATCHDOG=1"]
            get_token(server)
            (tmp_path / "audit.log").rename(tmp_path / "audit.log.1")
            os.kill(server.pid, signal.SIGHUP)
            until_exists(tmp_path / "audit.log")
            get_token(server)
            assert httpx.get(f"{server.ops}/readyz", trust_env=False).text == "ok\n"
        assert b"STOPPING=1" in iter(messages.get, None)
    assert server.exit_code == 0
    assert (tmp_path / "audit.log").stat().st_size
    assert (tmp_path / "audit.log").stat().st_mode & 0o077 == 0


@contextmanager
def listening(path: Path) -> Iterator["SimpleQueue[bytes]"]:
    """Serves as the service manager at a path, and yields its messages; without a reader, few would fit the socket."""
    messages: SimpleQueue[bytes] = SimpleQueue()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))

        def read() -> None:
            for message in iter(lambda: manager.recv(100), b""):
                messages.put(message)

        reading = threading.Thread(target=read)
        reading.start()
        try:
            yield messages
        finally:
            manager.sendto(b"", str(path))
            reading.join()


@pytest.mark.parametrize("forbidden", FORBIDDEN)
def test_operations_that_the_unit_forbids_fail(forbidden: str, under: list[str], tmp_path: Path) -> None:
    (tmp_path / "own").touch()
    free = subprocess.run(
        [sys.executable, "-c", f"open('own', 'w'); {FORBIDDEN[forbidden]}"], cwd=tmp_path, check=False
    )
    command = [*under, str(tmp_path), sys.executable, "-c", f"open('own', 'w'); {FORBIDDEN[forbidden]}"]
    bound = subprocess.run(command, cwd=tmp_path, check=False, stderr=subprocess.PIPE, encoding="utf-8")
    assert free.returncode == 0
    assert bound.returncode == 1
    assert any(word in bound.stderr for word in ("Errno 1]", "Errno 13]", "Errno 30]", "refused"))


def get_token(server: ServerProcess) -> None:
    request = GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=POOL_ID, logins={DEVELOPER_PROVIDER: "confined"}
    )
    with grpc.insecure_channel(server.endpoint) as channel:
        assert DeveloperIdentityServiceStub(channel).GetOpenIdTokenForDeveloperIdentity(request, timeout=30).token
