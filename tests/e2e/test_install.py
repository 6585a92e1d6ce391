"""The commands of server/install.md in an empty directory, literally except for ports and folders."""

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clients.toolchains import need
from tests.support.ports import free_port
from tests.support.replacing import replaced
from tests.support.server_process import ServerProcess

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "server" / "install.md").read_text("utf-8")

#: Folders of the page that are the test's own.
_FOLDERS = ("/opt/tokend", "/etc/tokend", "/var/lib/tokend", "/var/log/tokend")
#: Of these, those that the unit of systemd makes; the page has to make the others.
_MADE = ("/var/lib/tokend", "/var/log/tokend")

_PORTS = ("50051", "8080", "9090")


class NewUser:
    """A reader of the page on a machine without tokend: a copy of the repository, and empty directories."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._instead = {folder: f"{directory}{folder}" for folder in _FOLDERS}
        (directory / "etc").mkdir()
        (directory / "opt").mkdir()
        self._instead |= {f":{port}": f":{free_port()}" for port in _PORTS}
        for folder in _MADE:
            Path(self._instead[folder]).mkdir(parents=True)
        for name in ("server", "proto", "clients", "pyproject.toml", "README.md"):
            _copy(ROOT / name, directory / name)
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("VIRTUAL_ENV")}

    def here(self, text: str) -> str:
        """Replaces the page's paths in a text by those of this machine."""
        return replaced(text, self._instead)

    def follow(self, section: str) -> list[str]:
        """Runs each command of a section, and returns their outputs."""
        return [self.run(command) for block in blocks(section, "sh") for command in block.splitlines()]

    def run(self, command: str) -> str:
        command = self.here(command).replace("uv run tokendctl", f"{Path(sys.executable).parent}/tokendctl")
        done = subprocess.run(
            ["bash", "-ec", f"umask 077\n{command}"],
            cwd=self.directory,
            env=self._environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        left_out = shutil.ignore_patterns("__pycache__", ".venv", "node_modules", "target", "*.binpb", "tests")
        shutil.copytree(source, target, symlinks=True, ignore=left_out)
    else:
        shutil.copy(source, target)


def blocks(section: str, language: str) -> list[str]:
    (text,) = re.findall(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NewUser, ServerProcess]]:
    need("openssl", "the page of the installation")
    user = NewUser(tmp_path_factory.mktemp("new-user"))
    assert user.follow("Wheels")[-1].startswith("tokend, version ")
    # A new release is installed by the same commands over the one before, whose wheels are still there.
    (user.directory / "dist" / "tokend_server-0.0.1-py3-none-any.whl").touch()
    assert user.follow("Wheels")[-1].startswith("tokend, version ")
    user.follow("Secrets")
    (configuration,) = blocks("The configuration", "toml")
    path = Path(user.here("/etc/tokend/tokend.toml"))
    path.write_text(user.here(configuration), encoding="utf-8")
    checked, explained = user.follow("The configuration")
    assert checked.startswith("ok: 1 pool(s)")
    assert "shop" in explained
    # The arguments of the installed program, in the place of those of the tests' own.
    installed_one = ["sh", "-c", 'shift 3; exec "$0" "$@"', user.here("/opt/tokend/bin/tokend")]
    with ServerProcess(path, directory=user.directory, under=installed_one) as server:
        yield user, server


def test_a_new_user_gets_a_token_and_sees_who_is_refused(installed: tuple[NewUser, ServerProcess]) -> None:
    user, _server = installed
    token, keys, ready = user.follow("The first token, and a refusal")
    assert json.loads(token)["IdentityId"].startswith("eu-west-1:")
    assert json.loads(keys)["keys"]
    assert ready == "ok\n"
    command = blocks("The first token, and a refusal", "sh")[0].splitlines()[0]
    words = shlex.split(user.here(command).removeprefix("uv run tokendctl"))
    shown = words.index("--client-certificate-file")
    del words[shown : shown + 4]
    tokendctl = Path(sys.executable).parent / "tokendctl"
    refused = subprocess.run([tokendctl, *words], cwd=user.directory, check=False, capture_output=True, text=True)
    assert (refused.returncode, refused.stdout) == (255, "")
    lines = Path(user.here("/var/log/tokend/audit.log")).read_text("utf-8").splitlines()
    assert json.loads(lines[-1])["userIdentity"]["principalId"] == "spiffe://example.internal/ns/shop/sa/checkout"


def test_the_checks_before_production_have_the_expected_results(installed: tuple[NewUser, ServerProcess]) -> None:
    user, _server = installed
    (settings,) = blocks("Guarded", "sh")
    rewrap, backup = (_command(name) for name in ("keys rewrap", "backup"))
    assert "is current" in user.run(f"{settings}{rewrap}")
    assert user.run(f"{settings}{backup.replace('FILE', 'copy.db')}") == "identities: 1, signing keys: 1\n"
    explain = blocks("The configuration", "sh")[0].splitlines()[1].replace("shop/sa/checkout", "other")
    denied = subprocess.run(["bash", "-ec", user.here(explain)], cwd=user.directory, check=False, capture_output=True)
    assert denied.returncode == 1


def _command(name: str) -> str:
    """Returns a `tokend` command of the page's last table."""
    (command,) = set(re.findall(rf"^\|.*?`(tokend {name}[^`]*)`", PAGE, re.MULTILINE))
    return str(command)


def test_the_service_may_read_and_run_what_the_page_has_installed(installed: tuple[NewUser, ServerProcess]) -> None:
    user, _server = installed
    opt = Path(user.here("/opt/tokend"))
    modes = {path: path.stat().st_mode for path in (opt, *opt.rglob("*")) if not path.is_symlink()}
    assert modes[opt / "bin" / "tokend"] & 0o005 == 0o005
    assert [path for path, mode in modes.items() if mode & 0o004 == 0] == []
    assert [path for path, mode in modes.items() if stat.S_ISDIR(mode) and mode & 0o001 == 0] == []
    assert [path for path, mode in modes.items() if mode & 0o022] == []


def test_the_group_of_the_service_may_read_what_the_page_has_made_under_any_umask(tmp_path: Path) -> None:
    etc = tmp_path / "etc" / "tokend"
    (chmod,) = [line for line in blocks("systemd", "console")[0].splitlines() if line.startswith("# chown")]
    _chown, *rest = chmod.removeprefix("# ").split(" && ")
    make = f"umask 077; mkdir -p {etc}/more; cd {etc}; touch tls.key tokend.toml clients.crt more/wrapping.key"
    subprocess.run(["bash", "-ec", make], check=True)
    subprocess.run(["bash", "-ec", " && ".join(rest).replace("/etc/tokend", str(etc))], check=True)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in etc.rglob("*") if path.is_file()}
    assert [oct(mode) for mode in modes if mode & 0o047 != 0o040] == []
    folders = {stat.S_IMODE(path.stat().st_mode) for path in (etc, etc / "more")}
    assert [oct(mode) for mode in folders if mode & 0o057 != 0o050] == []


def test_the_files_that_the_page_leads_to_are_there() -> None:
    for command in [
        line for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()
    ]:
        for path in re.findall(r"server/deploy/\S+", command):
            assert (ROOT / path).exists()
