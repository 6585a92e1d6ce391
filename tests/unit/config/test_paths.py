"""Paths and text files as written by people and editors."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tokend_server.config import Config, load_config
from tokend_server.errors import ConfigError

POOL = '[pools."us-east-1:0a"]\ndeveloper_provider_name = "login.example"\n'
ISSUER = '[callers.jwt.a]\nissuer = "https://i.example"\naudiences = ["a"]\nalgorithms = ["RS256"]\n'
HOME = "/home/tokend"

#: Every setting that is a path: a file with a placeholder for it, and the resulting value.
PATHS: dict[str, tuple[str, Callable[[Config], object]]] = {
    "data_dir": ("data_dir = '{}'\n" + POOL, lambda config: config.data_dir),
    "store.url": (POOL + "[store]\nurl = 'sqlite:///{}'\n", lambda config: config.store_file),
    "audit.destination": (
        POOL + "[audit]\ndestination = 'file:{}'\n",
        lambda config: Path(config.audit.destination.removeprefix("file:")),
    ),
    "callers.jwt.a.ca_file": (POOL + ISSUER + "ca_file = '{}'\n", lambda config: config.callers.jwt["a"].ca_file),
    "callers.jwt.a.bearer_token_file": (
        POOL + ISSUER + "bearer_token_file = '{}'\n",
        lambda config: config.callers.jwt["a"].bearer_token_file,
    ),
    "grpc.listen": (
        POOL + "[grpc]\nlisten = ['unix:{}']\n",
        lambda config: Path(config.grpc.all_listeners[0].socket_path),
    ),
}

#: The settings whose files are read immediately.
TLS_PATHS = ("tls_certificate_file", "tls_private_key_file", "tls_client_ca_file")

Load = Callable[[str], Config]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.setenv("HOME", HOME)

    def load_text(text: str) -> Config:
        path = tmp_path / "tokend.toml"
        path.write_text(text, encoding="utf-8")
        return load_config(path)

    return load_text


def problems(load: Load, text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load(text)
    return raised.value.problems


def test_the_home_directory_may_have_any_name(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/a$b%2F #?")
    assert load(POOL).store_file == Path("/home/a$b%2F #?/.local/share/tokend/tokend.db")


@pytest.mark.parametrize("setting", PATHS)
def test_a_tilde_is_the_home_directory(setting: str, load: Load) -> None:
    text, value = PATHS[setting]
    assert value(load(text.format("~/a/b"))) == Path(f"{HOME}/a/b")
    assert value(load(text.format("~root/b"))) == Path("~root/b").expanduser()
    assert value(load(text.format("/a/~/b"))) == Path("/a/~/b")


@pytest.mark.parametrize("setting", PATHS)
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("~no-such-user-here/a", "home directory is not known"),
        ("/$HOME/a", "variables are not expanded"),
        ("/${HOME}/a", "variables are not expanded"),
        ("/a ", "white space"),
    ],
)
def test_a_misleading_path_is_refused(setting: str, path: str, expected: str, load: Load) -> None:
    (problem,) = problems(load, PATHS[setting][0].format(path))
    assert problem.startswith(setting)
    assert expected in problem


@pytest.mark.parametrize("setting", sorted(set(PATHS) - {"audit.destination"}))
def test_a_path_with_a_nul_is_refused(setting: str, load: Load) -> None:
    text = PATHS[setting][0].replace("'", '"').format(r"/a\u0000b")
    (problem,) = problems(load, text)
    assert "NUL" in problem


@pytest.mark.parametrize("setting", sorted(PATHS.keys() - {"audit.destination", "data_dir", "grpc.listen"}))
def test_an_audit_log_in_the_file_of_another_setting_is_rejected(setting: str, load: Load, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    text = PATHS[setting][0].format(tmp_path / "file")
    (problem,) = problems(load, f"{text}[audit]\ndestination = 'file:{tmp_path}/link/file'\n")
    assert problem == f"audit.destination: is the file of {setting}, to which lines would be appended"
    assert load(f"{text}[audit]\ndestination = 'file:{tmp_path}/other'\n")


def test_the_audit_log_is_not_the_embedded_database(load: Load, tmp_path: Path) -> None:
    (problem,) = problems(load, f"data_dir = '{tmp_path}'\n{POOL}[audit]\ndestination = 'file:{tmp_path}/tokend.db'\n")
    assert problem.startswith("audit.destination: is the file of store.url")


@pytest.mark.parametrize("setting", TLS_PATHS)
def test_the_paths_of_tls_files_are_expanded_before_they_are_read(setting: str, load: Load) -> None:
    files = "".join(f"{name} = '~/{name}.pem'\n" for name in TLS_PATHS)
    (problem,) = problems(load, f"{POOL}[grpc]\n{files}")
    assert f"{HOME}/{setting}.pem: No such file or directory" in problem


@pytest.mark.parametrize("setting", TLS_PATHS)
def test_a_variable_in_the_path_of_a_tls_file_is_rejected(setting: str, load: Load) -> None:
    assert any(
        problem.startswith(f"grpc.{setting}: has $HOME")
        for problem in problems(load, f"{POOL}[grpc]\n{setting} = '$HOME/a'")
    )


@pytest.mark.parametrize("variable", ["TOKEND_DATA_DIR", "TOKEND_GRPC_TLS_CERTIFICATE_FILE"])
@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_variable_is_rejected_as_a_path(variable: str, empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, empty)
    with pytest.raises(ConfigError, match="must name a file or directory"):
        load_config(None)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:////var/lib/a%20b.db", "percent-encoded"),
        ("sqlite:////var/lib/a.db?mode=ro", "no query"),
        ("sqlite:////var/lib/a.db#x", "no fragment"),
        ("sqlite:////var/lib/", "must be sqlite:///PATH"),
    ],
)
def test_ambiguous_sqlite_urls_are_rejected(url: str, expected: str, load: Load) -> None:
    (problem,) = problems(load, f"{POOL}[store]\nurl = '{url}'\n")
    assert problem.startswith("store.url: ")
    assert expected in problem


def test_a_percent_sign_without_an_escape_is_literal(load: Load) -> None:
    assert load(f"{POOL}[store]\nurl = 'sqlite:////a/100%/b'\n").store_file == Path("/a/100%/b")


def test_the_path_of_the_configuration_file_may_begin_with_a_tilde(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(POOL)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_config(Path("~/tokend.toml")).pools
    with pytest.raises(ConfigError, match="variables are not expanded"):
        load_config(Path("$HOME/tokend.toml"))


def test_without_a_home_directory_the_data_directory_has_to_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: (_ for _ in ()).throw(KeyError(uid)))
    with pytest.raises(ConfigError) as raised:
        load_config(None)
    assert raised.value.problems == ["data_dir: there is no home directory for it: set data_dir, or HOME"]
    monkeypatch.setenv("TOKEND_STORE_URL", f"sqlite:///{tmp_path}/x.db")
    assert load_config(None).store_file == tmp_path / "x.db"
    monkeypatch.delenv("TOKEND_STORE_URL")
    monkeypatch.setenv("TOKEND_DATA_DIR", str(tmp_path))
    assert load_config(None).store_file == tmp_path / "tokend.db"


def test_a_configured_data_directory_needs_no_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEND_DATA_DIR", "/dev/null")
    assert load_config(None).store_file == Path("/dev/null/tokend.db")


def write(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "tokend.toml"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte-order mark"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_a_file_may_be_written_by_any_editor(before: bytes, end: str, tmp_path: Path) -> None:
    text = f"{POOL}[log]\nlevel = 'error'\n".replace("\n", end)
    assert load_config(write(tmp_path, before + text.encode())).log.level == "error"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[grpc]\nthreads = \n", "(at line 2, column 11)"),
        (b"[grpc]\nthreads = 1\nthreads = 2\n", "(at line 3, column 12)"),
        (b"[grpc\n", "(at line 1, column 6)"),
        (b"data_dir = 2024-13-45\n", "(at line 1"),
        (b"[log]\nlevel = '\xe9'\n", "can't decode byte 16 as UTF-8"),
        ("[log]\n".encode("utf-16"), "can't decode byte 1 as UTF-8"),
        (b"a = " + b"9" * 5000 + b"\n", "Exceeds the limit"),
        (b"a = " + b"[" * 50_000 + b"\n", "nested too deep"),
    ],
)
def test_a_file_that_is_no_toml_is_reported_with_the_place(content: bytes, expected: str, tmp_path: Path) -> None:
    path = write(tmp_path, content)
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    (problem,) = (each for each in raised.value.problems if each.startswith(str(path)))
    assert expected in problem
    assert "\n" not in problem
