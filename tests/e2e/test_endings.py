"""Failures of commands: one line with the problem and its location, never a traceback."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import click
import pytest
from tests.support.server_process import POOL_ID, write_config
from tests.support.tokend import run

from tokend_server import cli

#: Every command of `tokend` that reads the configuration, with arguments that it could work on.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "serve": ("serve",),
    "check-config": ("check-config",),
    "migrate": ("migrate",),
    "backup": ("backup", "{directory}/copy.db"),
    "restore": ("restore", "{directory}/copy.db"),
    "keys list": ("keys", "list"),
    "keys status": ("keys", "status"),
    "keys add": ("keys", "add", "ES256"),
    "keys rotate": ("keys", "rotate", "ES256"),
    "keys remove": ("keys", "remove", "none"),
    "keys rewrap": ("keys", "rewrap"),
    "keys verifiers": ("keys", "verifiers"),
    "identities create": ("identities", "create", "--identity-pool-id", POOL_ID),
    "identities list": ("identities", "list", "--identity-pool-id", POOL_ID),
    "identities describe": ("identities", "describe", "--identity-pool-id", POOL_ID, "none"),
    "identities delete": ("identities", "delete", "--identity-pool-id", POOL_ID, "none"),
    "identities export": ("identities", "export", "--identity-pool-id", POOL_ID),
    "identities import": ("identities", "import", "--identity-pool-id", POOL_ID, os.devnull),
    "policy explain": (
        *("policy", "explain", "--caller", "a", "--pool", POOL_ID),
        *("--operation", "LookupDeveloperIdentity"),
    ),
}

#: Those of them that use the database.
OF_THE_STORE = tuple(
    name for name in COMMANDS if name not in {"serve", "check-config", "policy explain", "backup", "restore"}
)


def tokend(*words: str, shell: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command; `shell` follows it on the shell's command line."""
    command = [sys.executable, "-m", "tokend_server", *words]
    return subprocess.run(
        ["/bin/sh", "-c", f'"$0" "$@" {shell}', *command],
        env=os.environ | environment,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=120,
        check=False,
    )


def error_lines(ended: subprocess.CompletedProcess[str], code: int = 1) -> list[str]:
    assert ended.returncode == code
    assert "Traceback" not in ended.stderr
    assert "internal error" not in ended.stderr
    return ended.stderr.splitlines()


def error_lines_of(*words: str) -> list[str]:
    """Returns the error output of a command that fails in this process, which is faster."""
    return error_lines(run(*words))


def commands(group: click.Group, *above: str) -> Iterator[str]:
    """Returns the names of the commands that read the configuration."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)
        elif any(each.name == "config_path" for each in command.params):
            yield " ".join((*above, name))


def test_each_command_that_reads_the_configuration_is_tried() -> None:
    assert set(COMMANDS) == set(commands(cli.tokend))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path)


Broken = Callable[[Path], str]


def absent(path: Path) -> str:
    path.unlink()
    return "No such file or directory"


def no_toml(path: Path) -> str:
    path.write_text("[grpc\n", encoding="utf-8")
    return "(at line 1, column 6)"


def no_utf8(path: Path) -> str:
    path.write_bytes(b"\xff\xfe[\0")
    return "can't decode byte 1 as UTF-8"


@pytest.mark.parametrize("broken", [absent, no_toml, no_utf8])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_configuration_that_cannot_be_read_is_reported_in_a_line(
    command: str, broken: Broken, config: Path, tmp_path: Path
) -> None:
    expected = broken(config)
    words = [word.format(directory=tmp_path) for word in COMMANDS[command]]
    (line,) = error_lines_of(*words, "--config", str(config))
    assert line.startswith(f"configuration: {config}: ")
    assert expected in line


def test_check_config_reads_the_files_that_serve_will_read(tmp_path: Path) -> None:
    issuer = f"""
[callers.jwt.cluster]
issuer = "https://issuer.example"
audiences = ["tokend"]
algorithms = ["RS256"]
ca_file = "{tmp_path}/absent.pem"
"""
    (line,) = error_lines_of("check-config", "--config", str(write_config(tmp_path, issuer)))
    assert line.startswith(f"configuration: callers.jwt.cluster: {tmp_path}/absent.pem")


@pytest.mark.parametrize("shell", [">&-", "1</dev/null"])
def test_serve_refuses_an_audit_log_on_a_closed_output(config: Path, shell: str) -> None:
    environment = {"TOKEND_CONFIG": str(config), "TOKEND_AUDIT_DESTINATION": "stdout", "TOKEND_LOG_LEVEL": "error"}
    (line,) = error_lines(tokend("serve", shell=shell, **environment))
    assert line == "configuration: audit.destination: standard output is closed"


def is_a_directory(database: Path) -> str:
    database.mkdir()
    return "check that it is a file"


def is_garbage(database: Path) -> str:
    database.touch(mode=0o600)
    database.write_bytes(b"This is no database. " * 100)
    return "SQLITE_NOTADB"


def is_below_a_file(database: Path) -> str:
    database.parent.rmdir()
    database.parent.touch()
    return str(database)


def is_of_a_newer_release(database: Path) -> str:
    database.touch(mode=0o600)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    return "9999"


@pytest.mark.parametrize("broken", [is_a_directory, is_garbage, is_below_a_file, is_of_a_newer_release])
@pytest.mark.parametrize("command", OF_THE_STORE)
def test_a_database_that_cannot_be_used_is_reported_in_a_line(
    command: str, broken: Broken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    database = tmp_path / "data" / "tokend.db"
    expected = broken(database)
    monkeypatch.setenv("TOKEND_STORE_URL", f"sqlite:///{database}")
    (line,) = error_lines_of(*COMMANDS[command], "--config", str(write_config(tmp_path)))
    assert expected in line
    assert str(database) in line or broken is is_of_a_newer_release


def test_serve_reports_an_unusable_database_in_a_line(config: Path, tmp_path: Path) -> None:
    is_garbage(tmp_path / "tokend.db")
    (line,) = error_lines(run("serve", "--config", str(config), TOKEND_LOG_LEVEL="error"))
    assert "SQLITE_NOTADB" in line


@pytest.mark.parametrize("words", [("check-config",), ("callers", "new-key", "a")])
@pytest.mark.parametrize(
    ("shell", "expected"),
    [("> /dev/full", "standard output: No space left on device"), (">&-", "standard output: Bad file descriptor")],
)
def test_output_that_cannot_be_written_is_a_failure(
    words: tuple[str, ...], shell: str, expected: str, config: Path
) -> None:
    ended = tokend(*words, shell=shell, TOKEND_CONFIG=str(config))
    assert error_lines(ended)[-1] == expected


def test_a_closed_pipe_ends_the_command_without_an_error_message(config: Path) -> None:
    ended = tokend("check-config", "--reference", shell="| true", TOKEND_CONFIG=str(config))
    assert ended.stderr == ""


def test_closed_standard_streams_do_not_damage_the_database(config: Path, tmp_path: Path) -> None:
    ended = tokend("keys", "add", "ES256", shell="<&- 2>&-", TOKEND_CONFIG=str(config))
    assert ended.returncode == 0
    assert (tmp_path / "tokend.db").read_bytes().startswith(b"SQLite format 3\0")


def test_a_failure_with_closed_standard_error_has_exit_code_1(config: Path) -> None:
    config.unlink()
    assert tokend("check-config", shell="2>&-", TOKEND_CONFIG=str(config)).returncode == 1


def test_an_argument_that_is_no_text_is_wrong_usage(config: Path) -> None:
    words = ("identities", "describe", "--identity-pool-id", POOL_ID, "\udcff")
    (line,) = error_lines(tokend(*words, TOKEND_CONFIG=str(config)), code=2)
    assert line == "Error: not text in the locale's encoding: argument 5"


@pytest.mark.parametrize(
    ("words", "encoding", "name"),
    [
        (("check-config",), "latin-1", "\u65e5\u672c"),
        (("check-config",), "utf-8", "\udcff"),
        (("quickstart", "--once"), "utf-8", "\udcff"),
    ],
)
def test_output_is_utf_8_in_any_locale(words: tuple[str, ...], encoding: str, name: str, tmp_path: Path) -> None:
    ended = tokend(*words, XDG_DATA_HOME=str(tmp_path / name), PYTHONIOENCODING=encoding)
    assert (ended.stderr, ended.returncode) == ("", 0)
    assert str(tmp_path / name / "tokend" / "tokend.db") in ended.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_an_empty_config_option_is_rejected(command: str, tmp_path: Path) -> None:
    words = [word.format(directory=tmp_path) for word in COMMANDS[command]]
    ended = run(*words, "--config", "")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.endswith("Invalid value for '--config': must name a file\n")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("backup", ""), "'FILE': must name a file"),
        (("restore", ""), "'FILE': must name a file"),
        (("identities", "import", "--identity-pool-id", POOL_ID, ""), "'[FILE]': must name a file"),
        (("callers", "new-aws-key", "--key-file", "", "name"), "'--key-file': must name a file"),
        (
            ("check-config", "--online", "--for", "google", "--issuer-ca-file", ""),
            "'--issuer-ca-file': must name a file",
        ),
        (("store", "copy", "", "sqlite:///nowhere/tokend.db"), "'FROM': must not be empty"),
        (("store", "copy", "sqlite:///nowhere/tokend.db", ""), "'TO': must not be empty"),
    ],
)
def test_an_empty_file_name_is_rejected(words: tuple[str, ...], expected: str) -> None:
    ended = run(*words)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.endswith(f"Invalid value for {expected}\n")


def test_quickstart_needs_no_proxy(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:1"
    ended = run("quickstart", "--once", TOKEND_DATA_DIR=str(tmp_path), http_proxy=nowhere, https_proxy=nowhere)
    assert (ended.stderr, ended.returncode) == ("", 0)


@pytest.mark.parametrize("loaded", ["tokend_server.cli", "tokend_server.config"])
def test_an_interrupt_shows_no_traceback_however_early_it_comes(config: Path, loaded: str) -> None:
    # The modules that take long to load come after the first line that is run.
    program = (
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {loaded!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from tokend_server.__main__ import main\n"
        "main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "check-config", "--config", str(config)],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")
