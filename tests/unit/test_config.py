import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from platformdirs import user_data_path

from tokend_server.config import (
    EMBEDDED_DEVELOPER_PROVIDER,
    EMBEDDED_POOL_ID,
    Config,
    ConfigError,
    environment_variables,
    host_and_port,
    is_local,
    load_config,
)

POOL_ID = "us-east-1:0a"
POOL = f'[pools."{POOL_ID}"]\ndeveloper_provider_name = "login.example"\n'
SECRET = "hunter2"

#: A valid value that is not the default, for the variable of every setting, and what it becomes.
SETTINGS: dict[str, tuple[str, object]] = {
    "TOKEND_DATA_DIR": ("/var/lib/tokend", Path("/var/lib/tokend")),
    "TOKEND_GRPC_LISTEN": (
        "127.0.0.1:1, unix:/run/tokend.sock,[::1]:2",
        ["127.0.0.1:1", "unix:/run/tokend.sock", "[::1]:2"],
    ),
    "TOKEND_GRPC_THREADS": ("7", 7),
    "TOKEND_GRPC_TLS_CERTIFICATE_FILE": ("{certificate}", None),
    "TOKEND_GRPC_TLS_PRIVATE_KEY_FILE": ("{key}", None),
    "TOKEND_GRPC_INSECURE": ("true", True),
    "TOKEND_GRPC_REFLECTION": ("false", False),
    "TOKEND_GRPC_MAX_RECEIVE_MESSAGE_BYTES": ("4096", 4096),
    "TOKEND_GRPC_MAX_METADATA_BYTES": ("16384", 16384),
    "TOKEND_GRPC_MAX_CONCURRENT_STREAMS": ("5", 5),
    "TOKEND_GRPC_MAX_CONNECTION_AGE_SECONDS": ("60", 60),
    "TOKEND_GRPC_MAX_CONNECTION_AGE_GRACE_SECONDS": ("3", 3),
    "TOKEND_GRPC_DRAIN_DELAY_SECONDS": ("0.5", 0.5),
    "TOKEND_GRPC_DRAIN_GRACE_SECONDS": ("1.5", 1.5),
    "TOKEND_ISSUER_LISTEN": ("127.0.0.1:3", "127.0.0.1:3"),
    "TOKEND_ISSUER_URL": ("https://tokens.example/path", "https://tokens.example/path"),
    "TOKEND_OPS_LISTEN": ("[::1]:4", "[::1]:4"),
    "TOKEND_STORE_URL": ("sqlite:////var/lib/other.db", "sqlite:////var/lib/other.db"),
    "TOKEND_STORE_MIGRATE_ON_START": ("false", False),
    "TOKEND_COGNITO_ENDPOINT_URL": ("https://cognito.example/", "https://cognito.example"),
    "TOKEND_COGNITO_PROFILE": ("tokens", "tokens"),
    "TOKEND_COGNITO_ROLE_ARN": (
        "arn:aws:iam::123456789012:role/path/tokend",
        "arn:aws:iam::123456789012:role/path/tokend",
    ),
    "TOKEND_COGNITO_TIMEOUT_SECONDS": ("2.5", 2.5),
    "TOKEND_COGNITO_CONNECT_TIMEOUT_SECONDS": ("0.5", 0.5),
    "TOKEND_COGNITO_MAX_ATTEMPTS": ("1", 1),
    "TOKEND_COGNITO_REQUESTS_PER_SECOND": ("0", 0.0),
    "TOKEND_COGNITO_BURST": ("5", 5),
    "TOKEND_COGNITO_MAX_CALLS": ("8", 8),
    "TOKEND_COGNITO_SINGLE_FLIGHT": ("false", False),
    "TOKEND_COGNITO_REUSE_TOKENS": ("true", True),
    "TOKEND_COGNITO_REUSE_MAX_TOKENS": ("5", 5),
    "TOKEND_COGNITO_SERVE_STALE": ("true", True),
    "TOKEND_COGNITO_STALE_MARGIN_SECONDS": ("30", 30.0),
    "TOKEND_LOG_LEVEL": ("debug", "debug"),
    "TOKEND_LOG_FORMAT": ("text", "text"),
}

Load = Callable[[str], Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a file of the given text."""

    def load_text(text: str) -> Config:
        path = tmp_path / "tokend.toml"
        path.write_text(text, encoding="utf-8")
        return load_config(path)

    return load_text


@pytest.fixture
def problems(load: Load) -> Callable[[str], list[str]]:
    """What is wrong with a file of the given text."""

    def problems_of(text: str) -> list[str]:
        with pytest.raises(ConfigError) as raised:
            load(text)
        assert str(raised.value) == "\n".join(raised.value.problems)
        return raised.value.problems

    return problems_of


Problems = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two certificates with their keys: `certificate`, `key`, `other_certificate` and `other_key`."""
    directory = tmp_path_factory.mktemp("tls")
    return _certified(directory, "") | _certified(directory, "other_")


def _certified(directory: Path, prefix: str) -> dict[str, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    unsigned = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    dated = unsigned.not_valid_before(start).not_valid_after(start + dt.timedelta(days=36500))
    certificate = dated.serial_number(x509.random_serial_number()).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    pkcs8 = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files = {f"{prefix}certificate": certificate.public_bytes(pem), f"{prefix}key": pkcs8}
    for file, content in files.items():
        (directory / f"{file}.pem").write_bytes(content)
    return {file: directory / f"{file}.pem" for file in files}


def grpc_with(certificate: Path, key: Path, more: str = "") -> str:
    return f'{POOL}[grpc]\ntls_certificate_file = "{certificate}"\ntls_private_key_file = "{key}"\n{more}'


def setting_of(config: Config, variable: str) -> Any:  # noqa: ANN401 - settings have many types
    section, name = environment_variables()[variable]
    return getattr(getattr(config, section) if section else config, name)


def test_the_default_is_one_ready_pool_that_only_this_machine_reaches() -> None:
    config = load_config(None)
    assert {pool_id: pool.developer_provider_name for pool_id, pool in config.pools.items()} == {
        EMBEDDED_POOL_ID: EMBEDDED_DEVELOPER_PROVIDER
    }
    assert (config.grpc.listen, config.issuer.listen, config.ops.listen) == (
        ["127.0.0.1:50051"],
        "127.0.0.1:8080",
        "127.0.0.1:9090",
    )
    assert config.store_file == user_data_path("tokend") / "tokend.db"
    assert config.pools[EMBEDDED_POOL_ID].signing_algorithm == "RS512"


def test_a_file_is_read(load: Load) -> None:
    config = load(
        f"""
data_dir = "/srv/tokend"
[grpc]
threads = 3
[log]
level = "error"
[pools."{POOL_ID}"]
developer_provider_name = "login.example"
signing_algorithm = "ES256"
account_id = "123456789012"
[pools."{POOL_ID}".open_id_connect_providers]
"accounts.google.com" = {{ client_ids = ["a", "b"] }}
"login.test" = {{ client_ids = ["c"], issuer = "https://issuer.test/x" }}
"""
    )
    pool = config.pools[POOL_ID]
    assert (config.grpc.threads, config.log.level, config.log.format) == (3, "error", "json")
    assert config.store_file == Path("/srv/tokend/tokend.db")
    assert (pool.signing_algorithm, pool.account_id) == ("ES256", "123456789012")
    assert pool.open_id_connect_providers["accounts.google.com"].client_ids == ["a", "b"]
    assert pool.open_id_connect_providers["login.test"].issuer == "https://issuer.test/x"


def test_the_store_is_where_its_url_says(load: Load) -> None:
    assert load(f'{POOL}[store]\nurl = "sqlite:////srv/x.db"').store_file == Path("/srv/x.db")
    assert load(f'{POOL}[store]\nurl = "sqlite:///x.db"').store_file == Path("x.db")


def test_every_variable_is_tried_here() -> None:
    assert environment_variables().keys() - SETTINGS.keys() == {"TOKEND_POOLS"}


@pytest.mark.parametrize("variable", SETTINGS)
def test_a_variable_sets_its_setting(
    variable: str, tls_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    default = setting_of(load_config(None), variable)
    given, expected = SETTINGS[variable]
    if variable == "TOKEND_COGNITO_SERVE_STALE":  # which is nothing without the tokens
        monkeypatch.setenv("TOKEND_COGNITO_REUSE_TOKENS", "true")
    if expected is None:  # one TLS file is nothing without the other
        monkeypatch.setenv("TOKEND_GRPC_TLS_CERTIFICATE_FILE", str(tls_files["certificate"]))
        monkeypatch.setenv("TOKEND_GRPC_TLS_PRIVATE_KEY_FILE", str(tls_files["key"]))
        expected = tls_files[given.strip("{}")]
    else:
        monkeypatch.setenv(variable, given)
    assert setting_of(load_config(None), variable) == expected != default


def test_the_environment_goes_before_the_file_setting_by_setting(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEND_GRPC_THREADS", "9")
    monkeypatch.setenv("TOKEND_GRPC_LISTEN", "127.0.0.1:9")
    grpc = load(f'{POOL}[grpc]\nthreads = 3\nlisten = ["127.0.0.1:1", "127.0.0.1:2"]\nreflection = false').grpc
    assert (grpc.threads, grpc.listen, grpc.reflection) == (9, ["127.0.0.1:9"], False)


def test_the_environment_may_declare_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEND_POOLS", '{"us-east-1:0b": {"developer_provider_name": "login.example"}}')
    assert "us-east-1:0b" in load_config(None).pools


def test_all_problems_are_told_at_once(problems: Problems, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEND_GRPC_THREAD", "3")
    found = problems(
        """
typo = 1
[grpc]
threads = "many"
max_metadata_bytes = 1
colour = "red"
[issuer]
url = "http://tokens.example"
[ops]
listen = "9090"
[store]
url = "postgresql://db"
[log]
level = "loud"
[pools.nowhere]
signing_algorithm = "HS256"
"""
    )
    assert sorted(problem.partition(": ")[0] for problem in found) == [
        "TOKEND_GRPC_THREAD",
        "grpc.colour",
        "grpc.max_metadata_bytes",
        "grpc.thread",
        "grpc.threads",
        "issuer.url",
        "log.level",
        "ops.listen",
        "pools.nowhere.[key]",
        "pools.nowhere.developer_provider_name",
        "pools.nowhere.signing_algorithm",
        "store.url",
        "typo",
    ]
    assert all(problem.partition(": ")[2] for problem in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "pools: declare at least one pool"),
        ("pools = {}", "pools: Dictionary should have at least 1 item"),
        ("[grpc\nthreads = 1", "(at line 1"),
        (f"{POOL}[server]\nport = 1", "server: Extra inputs are not permitted"),
        (f'{POOL}colour = "red"', f"pools.{POOL_ID}.colour: Extra inputs are not permitted"),
        (f'{POOL}engine = "other"', f"pools.{POOL_ID}.engine: "),
        (f'{POOL}account_id = "123"', f"pools.{POOL_ID}.account_id: "),
        (f'[pools."{POOL_ID}"]\ndeveloper_provider_name = "a:b"', "developer_provider_name: "),
        (
            f'{POOL}open_id_connect_providers."login.example" = {{ client_ids = ["a"] }}',
            f"pools.{POOL_ID}: developer_provider_name must not be one of open_id_connect_providers",
        ),
        (f'{POOL}open_id_connect_providers."x" = {{ client_ids = [] }}', "x.client_ids: "),
        (f'{POOL}open_id_connect_providers."a b" = {{ client_ids = ["a"] }}', "https:// + name 1 must be a URL"),
        (
            f'{POOL}open_id_connect_providers."h:99999" = {{ client_ids = ["a"] }}',
            "https:// + name 1 Port out of range",
        ),
        (f"{POOL}[grpc]\nmax_receive_message_bytes = 3000000000", "grpc.max_receive_message_bytes: "),
        (f"{POOL}[grpc]\nmax_connection_age_seconds = 3000000", "grpc.max_connection_age_seconds: "),
        (f"{POOL}[grpc]\ndrain_delay_seconds = inf", "grpc.drain_delay_seconds: "),
        (f"{POOL}[grpc]\nlisten = []", "grpc.listen: "),
        (f'{POOL}[grpc]\nlisten = ["unix:"]', "grpc.listen.0: must name the socket"),
        (f'{POOL}[grpc]\nlisten = ["127.0.0.1:1", "127.0.0.1"]', "grpc.listen.1: must be HOST:PORT"),
        (f"{POOL}[grpc]\nthreads = 0", "grpc.threads: "),
        (f"{POOL}[cognito]\nserve_stale = true", "cognito: serve_stale needs reuse_tokens = true"),
        (f'{POOL}[cognito]\nendpoint_url = "http://cognito.example"', "cognito.endpoint_url: must be https"),
        (f'{POOL}[cognito]\nrole_arn = "arn:aws:iam::1:role/x"', "cognito.role_arn: "),
        (f"{POOL}[cognito]\nmax_attempts = 0", "cognito.max_attempts: "),
        (f"{POOL}[cognito]\ntimeout_seconds = 0", "cognito.timeout_seconds: "),
        ('[pools."local:0a"]\nengine = "cognito"\ndeveloper_provider_name = "d"', "AWS region, unlike local:0a"),
        (f'{POOL}[store]\nurl = "sqlite://"', "store.url: must be sqlite:///PATH"),
        (f'{POOL}[store]\nurl = "sqlite:///:memory:"', "store.url: must be sqlite:///PATH"),
        (f'{POOL}[issuer]\nlisten = "0.0.0.0:8080"', "issuer: url must say how verifiers reach the listener"),
    ],
)
def test_a_problem_is_named(problems: Problems, text: str, expected: str) -> None:
    (problem,) = problems(text)
    assert expected in problem


def test_one_word_takes_a_pool_from_one_engine_to_the_other(load: Load) -> None:
    settings = 'signing_algorithm = "ES256"\nopen_id_connect_providers."login.test" = { client_ids = ["a"] }\n'
    local, cognito = (load(f'{POOL}{settings}engine = "{engine}"') for engine in ("local", "cognito"))
    assert (list(local.pools_of("local")), list(local.pools_of("cognito"))) == ([POOL_ID], [])
    assert (list(cognito.pools_of("local")), list(cognito.pools_of("cognito"))) == ([], [POOL_ID])


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b'[log]\nlevel = "\xe9"\n')
    for name, expected in (("absent.toml", "No such file"), ("latin.toml", "can't decode")):
        with pytest.raises(ConfigError) as raised:
            load_config(tmp_path / name)
        assert expected in raised.value.problems[0]


@pytest.mark.parametrize("variable", ["TOKEND_GRPC_THREAD", "TOKEND_LISTEN", "TOKEND_"])
def test_an_unknown_variable_is_refused(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, SECRET)
    with pytest.raises(ConfigError) as raised:
        load_config(None)
    assert f"{variable}: there is no such setting" in raised.value.problems
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("variable", ["TOKEND_CONFIG", "TOKEND_ENDPOINT"])
def test_variables_that_others_read_are_left_alone(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "anything")
    assert load_config(None) == Config()


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1:50051", ""),
        ("127.9.9.9:1", ""),
        ("[::1]:1", ""),
        ("localhost:1", ""),
        ("unix:/run/tokend.sock", ""),
        ("0.0.0.0:50051", "others can reach 0.0.0.0:50051"),
        ("[::]:50051", "others can reach [::]:50051"),
        ("10.0.0.1:50051", "others can reach 10.0.0.1:50051"),
        ("tokend.example:50051", "others can reach tokend.example:50051"),
    ],
)
def test_what_others_can_reach_needs_tls_or_a_word(
    address: str, reason: str, load: Load, problems: Problems, tls_files: dict[str, Path]
) -> None:
    listen = f'listen = ["{address}"]\n'
    plain = f"{POOL}[grpc]\n{listen}"
    assert load(f"{plain}insecure = true").grpc.insecure
    assert load(grpc_with(tls_files["certificate"], tls_files["key"], listen)).grpc.listen == [address]
    if reason:
        (problem,) = problems(plain)
        assert problem.startswith(f"grpc: {reason}: configure TLS")
    else:
        assert load(plain).grpc.listen == [address]


def test_each_exposed_address_is_named(problems: Problems) -> None:
    (problem,) = problems(f'{POOL}[grpc]\nlisten = ["127.0.0.1:1", "10.0.0.1:2", "10.0.0.2:3"]')
    assert "others can reach 10.0.0.1:2, 10.0.0.2:3:" in problem


@pytest.mark.parametrize(
    ("certificate", "key"),
    [
        ("absent", "key"),
        ("certificate", "absent"),
        ("key", "certificate"),
        ("certificate", "other_key"),
        ("other_certificate", "key"),
    ],
)
def test_tls_files_that_do_not_work_are_a_problem(
    certificate: str, key: str, tls_files: dict[str, Path], problems: Problems
) -> None:
    files = {"absent": Path("/absent.pem"), **tls_files}
    (problem,) = problems(grpc_with(files[certificate], files[key]))
    assert problem.startswith("grpc: the TLS certificate and key cannot be used: ")


@pytest.mark.parametrize("given", ["certificate", "private_key"])
def test_one_tls_file_needs_the_other(given: str, problems: Problems) -> None:
    (problem,) = problems(f'{POOL}[grpc]\ntls_{given}_file = "/x.pem"')
    assert problem == "grpc: tls_certificate_file and tls_private_key_file must be given together"


def test_a_provider_may_end_its_issuer_in_a_slash(load: Load) -> None:
    provider = load(
        f'{POOL}open_id_connect_providers."t.example" = {{ client_ids = ["a"], issuer = "https://t.example/" }}'
    ).pools[POOL_ID]
    assert provider.open_id_connect_providers["t.example"].issuer == "https://t.example/"


@pytest.mark.parametrize(
    "url",
    [
        "https://tokens.example",
        "https://tokens.example:8443/a/b",
        "http://127.0.0.1:8080",
        "http://[::1]:8080/a",
        "http://localhost",
    ],
)
def test_an_issuer_url_is_accepted_as_it_is(url: str, load: Load) -> None:
    assert load(f'{POOL}[issuer]\nurl = "{url}"').issuer.url == url


@pytest.mark.parametrize(
    "url",
    [
        "tokens.example",
        "ftp://tokens.example",
        "https://",
        "https:///path",
        "https://tokens.example/",
        "https://tokens.example/a/",
        "https://tokens.example?a=b",
        "https://tokens.example#a",
        "http://tokens.example",
        "http://10.0.0.1",
        "http://[::1",
        "https://tokens.example:port",
        "https://tokens.example:99999",
        f"https://user:{SECRET}@tokens.example",
    ],
)
def test_an_issuer_url_is_refused(url: str, problems: Problems) -> None:
    (problem,) = problems(f'{POOL}[issuer]\nurl = "{url}"')
    assert problem.startswith("issuer.url: ")
    assert SECRET not in problem


@pytest.mark.parametrize(
    "text",
    [
        f'[store]\nurl = "postgresql://user:{SECRET}@db/tokend"',
        f'[grpc]\nlisten = ["user:{SECRET}@10.0.0.1:1"]',
        f'[ops]\nlisten = "{SECRET}"',
        f'[log]\nlevel = "{SECRET}"',
        f'[grpc]\nthreads = "{SECRET}"',
        f'password = "{SECRET}"',
        f'[grpc]\npassword = "{SECRET}"',
    ],
)
def test_a_value_that_is_refused_is_not_repeated(text: str, problems: Problems) -> None:
    found = problems(f"{text}\n{POOL}")
    assert found
    assert SECRET not in str(found)


@pytest.mark.parametrize("variable", ["TOKEND_POOLS", "TOKEND_GRPC", "TOKEND_GRPC_THREADS", "TOKEND_STORE_URL"])
def test_a_variable_that_is_refused_is_not_repeated(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, SECRET)
    with pytest.raises(ConfigError) as raised:
        load_config(None)
    assert variable.split("_")[1].lower() in str(raised.value).lower()
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), ("tokend.example:65535", ("tokend.example", 65535))],
)
def test_an_address_is_split(address: str, expected: tuple[str, int]) -> None:
    assert host_and_port(address) == expected


@pytest.mark.parametrize(
    "address",
    ["", ":80", "host", "host:", "host:x", "host:65536", "::1:80", "host:80/x", "a@host:80", "http://host:80"],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the texts are the standard library's and our own
        host_and_port(address)


def test_a_unix_socket_is_local() -> None:
    assert is_local("unix:/run/tokend.sock")
    assert not is_local("10.0.0.1:1")
