"""`tokend check-config --for CLOUD --online`: the issuer's documents by https, as clouds fetch them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.fakes.connect_proxy import ConnectProxy
from tests.support.authority import Authority
from tests.support.ports import free_port
from tests.support.tls_terminator import TlsTerminator
from tests.support.tokend import Ended, run

from tokend_server import app
from tokend_server.config import load_config

POOL_ID = "eu-west-1:3f1c2d4e-5a6b-4c7d-8e9f-0a1b2c3d4e5f"

#: A public address that no request reaches: the proxy connects all requests to this machine.
HOST = "8.8.8.8"

Check = Callable[..., Ended]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsTerminator]:
    with TlsTerminator(free_port(), tmp_path_factory.mktemp("proxy"), HOST) as running:
        yield running


@pytest.fixture(scope="module")
def config(proxy: TlsTerminator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The configuration of a running service."""
    directory = tmp_path_factory.mktemp("tokend")
    path = directory / "tokend.toml"
    path.write_text(
        f'data_dir = "{directory}"\n'
        f'[grpc]\nlisten = ["127.0.0.1:0"]\n[ops]\nlisten = "127.0.0.1:0"\n'
        f'[issuer]\nlisten = "127.0.0.1:{proxy.port}"\nurl = "{proxy.url}"\n'
        f'[pools."{POOL_ID}"]\ndeveloper_provider_name = "login.example"\nsigning_algorithm = "RS256"\n'
    )
    service = app.start(load_config(path))
    yield path
    service.stop()


@pytest.fixture(scope="module")
def check(config: Path) -> Iterator[Check]:
    with ConnectProxy() as way:

        def run_check(*words: str, path: Path = config) -> Ended:
            options = ("--config", str(path), "--for", "entra", "--online", *words)
            return run("check-config", *options, HTTPS_PROXY=way.url, https_proxy=way.url, NO_PROXY="", no_proxy="")

        yield run_check


def problems(ended: Ended, proxy: TlsTerminator) -> list[str]:
    prefix = f"{proxy.url}: "
    return [line.removeprefix(prefix) for line in ended.stderr.splitlines() if line.startswith(prefix)]


def test_an_issuer_behind_https_is_good(check: Check, proxy: TlsTerminator) -> None:
    ended = check("--issuer-ca-file", str(proxy.ca_file))
    assert (ended.returncode, problems(ended, proxy)) == (0, [])
    assert ended.stdout.splitlines()[-1] == f"{proxy.url}: ok, discovery and 1 key(s) match the store"


def test_a_certificate_of_a_private_authority_is_reported(check: Check, proxy: TlsTerminator) -> None:
    ended = check()
    assert ended.returncode == 1
    discovery, keys = problems(ended, proxy)
    assert discovery.startswith(f"discovery: GET '{proxy.url}/.well-known/openid-configuration': SSLError: ")
    assert keys.startswith(f"keys: GET '{proxy.url}/.well-known/jwks.json': SSLError: ")
    assert "certificate" in discovery


def test_a_missing_database_file_is_reported_and_not_created(check: Check, config: Path, tmp_path: Path) -> None:
    copy = tmp_path / "tokend.toml"
    copy.write_text(config.read_text().replace(f'data_dir = "{config.parent}"', f'data_dir = "{tmp_path}"'))
    ended = check("--issuer-ca-file", str(Path(config.parent.parent) / "none"), path=copy)
    assert ended.returncode == 2
    ended = check(path=copy)
    assert "keys: cannot be compared with the store's: the store has none: " in ended.stderr
    assert sorted(each.name for each in tmp_path.iterdir()) == ["tokend.toml"]


def test_a_file_without_certificates_is_wrong_usage(check: Check, config: Path) -> None:
    ended = check("--issuer-ca-file", str(config))
    assert (ended.returncode, "holds no certificates" in ended.stderr) == (2, True)


def test_issuer_ca_file_without_for_is_wrong_usage(config: Path, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(Authority("any").certificate)
    ended = run("check-config", "--config", str(config), "--online", "--issuer-ca-file", str(tmp_path / "ca.pem"))
    assert ended.returncode == 2
