import datetime as dt
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from platformdirs import user_data_path

from tokend_server.callers import keys
from tokend_server.config import (
    EMBEDDED_DEVELOPER_PROVIDER,
    EMBEDDED_POOL_ID,
    CallerLimitSettings,
    Config,
    ExtAuthzMapping,
    Guard,
    JwtIssuer,
    PolicySettings,
    SdsToken,
    VerifiedValue,
    environment_variables,
    host_and_port,
    is_local,
    load_config,
)
from tokend_server.config.aws import DeclaredProvider
from tokend_server.errors import ConfigError

POOL_ID = "us-east-1:0a"
POOL = f'[pools."{POOL_ID}"]\ndeveloper_provider_name = "login.example"\n'
SECRET = "hunter2"

#: A key, which an operator may have pasted where its digest belongs, and the digest.
KEY = keys.new_key(lambda count: b"k" * count)
DIGEST = keys.digest(KEY)

EVERYTHING = 'pools = ["*"]\noperations = ["*"]\n'
EVERYBODY = f'[policy.everybody]\ncallers = ["**"]\n{EVERYTHING}'
KEYS = f'[callers.keys]\ncheckout = ["{DIGEST}"]\n'
ISSUER = '[callers.jwt.cluster]\nissuer = "https://i.example"\naudiences = ["tokend"]\nalgorithms = ["RS256"]\n'

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
    "TOKEND_GRPC_TLS_CLIENT_CA_FILE": ("{other_certificate}", None),
    "TOKEND_GRPC_IDENTIFY_BY": ("bearer_key, jwt", ["bearer_key", "jwt"]),
    "TOKEND_GRPC_TRUSTED_PROXIES": (
        "spiffe://a.internal/proxy/*,dns:proxy",
        ["spiffe://a.internal/proxy/*", "dns:proxy"],
    ),
    "TOKEND_GRPC_LISTENERS": (
        '{"127.0.0.1:50051": {"identify_by": ["bearer_key"], "trusted_proxies": ["dns:*"]}}',
        {"127.0.0.1:50051": Guard(identify_by=["bearer_key"], trusted_proxies=["dns:*"])},
    ),
    "TOKEND_GRPC_INSECURE": ("true", True),
    "TOKEND_GRPC_HEALTH": ("identified", "identified"),
    "TOKEND_GRPC_REFLECTION": ("false", False),
    "TOKEND_GRPC_MAX_RECEIVE_MESSAGE_BYTES": ("4096", 4096),
    "TOKEND_GRPC_MAX_METADATA_BYTES": ("16384", 16384),
    "TOKEND_GRPC_MAX_CONCURRENT_STREAMS": ("5", 5),
    "TOKEND_GRPC_MAX_CONNECTIONS": ("7", 7),
    "TOKEND_GRPC_HANDSHAKE_TIMEOUT_SECONDS": ("7", 7),
    "TOKEND_GRPC_MESSAGE_TIMEOUT_SECONDS": ("2.5", 2.5),
    "TOKEND_GRPC_SHARED_CONNECTIONS": ("true", True),
    "TOKEND_GRPC_PAUSE_AFTER_REFUSAL_SECONDS": ("0.5", 0.5),
    "TOKEND_GRPC_MAX_CONNECTION_IDLE_SECONDS": ("77", 77),
    "TOKEND_GRPC_MAX_CONNECTION_AGE_SECONDS": ("60", 60),
    "TOKEND_GRPC_MAX_CONNECTION_AGE_GRACE_SECONDS": ("3", 3),
    "TOKEND_GRPC_DRAIN_DELAY_SECONDS": ("0.5", 0.5),
    "TOKEND_GRPC_DRAIN_GRACE_SECONDS": ("1.5", 1.5),
    "TOKEND_EXT_AUTHZ_MAPPINGS": (
        f'{{"web": {{"identity_pool_id": "{EMBEDDED_POOL_ID}", "user": {{"metadata": "payload.sub"}}}}}}',
        {"web": ExtAuthzMapping(identity_pool_id=EMBEDDED_POOL_ID, user=VerifiedValue(metadata=["payload", "sub"]))},
    ),
    "TOKEND_EXT_AUTHZ_METADATA_NAMESPACE": ("envoy.filters.http.set_metadata", "envoy.filters.http.set_metadata"),
    "TOKEND_EXT_AUTHZ_REUSE_MAX_TOKENS": ("0", 0),
    "TOKEND_SDS_LISTEN": ("127.0.0.1:5, unix:/run/sds.sock", ["127.0.0.1:5", "unix:/run/sds.sock"]),
    "TOKEND_SDS_INSECURE": ("true", True),
    "TOKEND_SDS_TOKENS": (
        f'{{"checkout": {{"identity_pool_id": "{EMBEDDED_POOL_ID}", "user": "u"}}}}',
        {"checkout": SdsToken(identity_pool_id=EMBEDDED_POOL_ID, user="u")},
    ),
    "TOKEND_SDS_KEY_SET": ("keys", "keys"),
    "TOKEND_SDS_THREADS": ("7", 7),
    "TOKEND_SDS_MAX_STREAMS": ("7", 7),
    "TOKEND_SDS_MAX_STREAMS_OF_CALLER": ("5", 5),
    "TOKEND_SDS_MAX_CONNECTIONS": ("7", 7),
    "TOKEND_SDS_MAX_CONNECTION_AGE_SECONDS": ("60", 60),
    "TOKEND_SDS_TLS_CERTIFICATE_FILE": ("{certificate}", None),
    "TOKEND_SDS_TLS_PRIVATE_KEY_FILE": ("{key}", None),
    "TOKEND_SDS_TLS_CLIENT_CA_FILE": ("{other_certificate}", None),
    "TOKEND_SDS_IDENTIFY_BY": ("bearer_key, jwt", ["bearer_key", "jwt"]),
    "TOKEND_SDS_TRUSTED_PROXIES": ("dns:proxy", ["dns:proxy"]),
    "TOKEND_AWS_LISTEN": ("127.0.0.1:6", "127.0.0.1:6"),
    "TOKEND_AWS_TLS_CERTIFICATE_FILE": ("{certificate}", None),
    "TOKEND_AWS_TLS_PRIVATE_KEY_FILE": ("{key}", None),
    "TOKEND_AWS_TLS_CLIENT_CA_FILE": ("{other_certificate}", None),
    "TOKEND_AWS_INSECURE": ("true", True),
    "TOKEND_AWS_THREADS": ("7", 7),
    "TOKEND_AWS_MAX_CONNECTIONS": ("7", 7),
    "TOKEND_AWS_MANAGE_POOLS": ("true", True),
    "TOKEND_AWS_ACCOUNT_ID": ("123456789012", "123456789012"),
    "TOKEND_AWS_OPEN_ID_CONNECT_PROVIDERS": (
        '{"idp.example": {"client_ids": ["a"], "issuer": "https://idp.internal", "clock_skew_seconds": 7}}',
        {"idp.example": DeclaredProvider(client_ids=["a"], issuer="https://idp.internal", clock_skew_seconds=7)},
    ),
    "TOKEND_AWS_CREDENTIALS_SOURCE": ("static", "static"),
    "TOKEND_AWS_CREDENTIALS_STATIC_FOR_OTHERS": ("true", True),
    "TOKEND_AWS_CREDENTIALS_REGION": ("eu-west-1", "eu-west-1"),
    "TOKEND_AWS_CREDENTIALS_ENDPOINT_URL": ("https://sts.example/", "https://sts.example"),
    "TOKEND_AWS_CREDENTIALS_TIMEOUT_SECONDS": ("7.5", 7.5),
    "TOKEND_AWS_CREDENTIALS_CONNECT_TIMEOUT_SECONDS": ("2.5", 2.5),
    "TOKEND_AWS_CREDENTIALS_MAX_ATTEMPTS": ("7", 7),
    "TOKEND_ISSUER_LISTEN": ("127.0.0.1:3", "127.0.0.1:3"),
    "TOKEND_ISSUER_URL": ("https://tokens.example/path", "https://tokens.example/path"),
    "TOKEND_OPS_LISTEN": ("[::1]:4", "[::1]:4"),
    "TOKEND_GRPC_MIN_PING_INTERVAL_SECONDS": ("7", 7),
    "TOKEND_OPS_LABELLED_POOLS": ("7", 7),
    "TOKEND_OPS_UNREADY_AFTER_SECONDS": ("7.5", 7.5),
    "TOKEND_OPS_DEAD_AFTER_SECONDS": ("90", 90.0),
    "TOKEND_STORE_URL": ("postgresql://me@db/tokend", "postgresql://me@db/tokend"),
    "TOKEND_STORE_MIGRATE_ON_START": ("false", False),
    "TOKEND_STORE_PASSWORD_FILE": ("/run/secrets/store", Path("/run/secrets/store")),
    "TOKEND_STORE_RDS_IAM_REGION": ("eu-west-1", "eu-west-1"),
    "TOKEND_STORE_DATABASE_SCHEMA": ("tokend", "tokend"),
    "TOKEND_STORE_MAX_CONNECTIONS": ("7", 7),
    "TOKEND_STORE_TIMEOUT_SECONDS": ("2.5", 2.5),
    "TOKEND_KEYS_ROTATE_EVERY": ("off", "off"),
    "TOKEND_KEYS_PUBLISH_BEFORE": ("45m", "45m"),
    "TOKEND_KEYS_ACTIVATE": ("when seen", "when seen"),
    "TOKEND_KEYS_SIGNER": ("aws-kms", "aws-kms"),
    "TOKEND_KEYS_ENCRYPTION_METHOD": ("file", "file"),
    "TOKEND_KEYS_ENCRYPTION_KEY_FILE": ("/run/secrets/key", Path("/run/secrets/key")),
    "TOKEND_KEYS_ENCRYPTION_PASSPHRASE_FILE": ("/run/secrets/passphrase", Path("/run/secrets/passphrase")),
    "TOKEND_KEYS_ENCRYPTION_KMS_KEY_ID": ("alias/tokend", "alias/tokend"),
    "TOKEND_KEYS_ENCRYPTION_PREVIOUS_KMS_KEY_IDS": (
        "arn:aws:kms:eu-west-1:123456789012:key/mrk-1a",
        ["arn:aws:kms:eu-west-1:123456789012:key/mrk-1a"],
    ),
    "TOKEND_KEYS_ENCRYPTION_PREVIOUS_KEY_FILES": ("/run/a, /run/b", [Path("/run/a"), Path("/run/b")]),
    "TOKEND_KEYS_ENCRYPTION_PREVIOUS_PASSPHRASE_FILES": ("/run/a", [Path("/run/a")]),
    "TOKEND_KEYS_ENCRYPTION_ACCEPT_CLEAR": ("false", False),
    "TOKEND_KEYS_KMS_REGION": ("eu-west-1", "eu-west-1"),
    "TOKEND_KEYS_KMS_ENDPOINT_URL": ("https://kms.example/", "https://kms.example"),
    "TOKEND_KEYS_KMS_PROFILE": ("tokens", "tokens"),
    "TOKEND_KEYS_KMS_ROLE_ARN": ("arn:aws:iam::123456789012:role/tokend", "arn:aws:iam::123456789012:role/tokend"),
    "TOKEND_KEYS_KMS_TIMEOUT_SECONDS": ("2.5", 2.5),
    "TOKEND_KEYS_KMS_CONNECT_TIMEOUT_SECONDS": ("0.5", 0.5),
    "TOKEND_KEYS_KMS_MAX_ATTEMPTS": ("1", 1),
    "TOKEND_KEYS_KMS_REQUESTS_PER_SECOND": ("0", 0.0),
    "TOKEND_KEYS_KMS_BURST": ("5", 5),
    "TOKEND_KEYS_KMS_MAX_CALLS": ("8", 8),
    "TOKEND_KEYS_KMS_KEY_POLICY_FILE": ("/etc/tokend/policy.json", Path("/etc/tokend/policy.json")),
    "TOKEND_KEYS_KMS_DELETION_WINDOW_DAYS": ("7", 7),
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
    "TOKEND_CALLERS_KEYS": (f'{{"checkout": ["{DIGEST.upper().replace("SHA", "sha")}"]}}', {"checkout": [DIGEST]}),
    "TOKEND_CALLERS_AWS_KEYS": ('{"checkout": ["TKNDABCDEFGHIJKLMNOP"]}', {"checkout": ["TKNDABCDEFGHIJKLMNOP"]}),
    "TOKEND_CALLERS_AWS_KEY_FILE": ("/run/secrets/aws", Path("/run/secrets/aws")),
    "TOKEND_CALLERS_JWT": (
        '{"cluster": {"issuer": "https://i.example", "audiences": ["a"], "algorithms": ["ES256"], "ca_file": "/ca"}}',
        {"cluster": JwtIssuer(issuer="https://i.example", audiences=["a"], algorithms=["ES256"], ca_file=Path("/ca"))},
    ),
    "TOKEND_CALLERS_MAX_TOKEN_BYTES": ("4096", 4096),
    "TOKEND_POLICY": (
        '{"all": {"callers": ["**"], "pools": ["*"], "operations": ["*"], "max_token_duration_seconds": 60}}',
        {"all": PolicySettings(callers=["**"], pools=["*"], operations=["*"], max_token_duration_seconds=60)},
    ),
    "TOKEND_LIMITS_CONCURRENT_CALLS": ("7", 7),
    "TOKEND_LIMITS_CONCURRENT_CALLS_OF_CALLER": ("7", 7),
    "TOKEND_LIMITS_CALLS_PER_SECOND": ("0", 0.0),
    "TOKEND_LIMITS_CALLS_BURST": ("7", 7),
    "TOKEND_LIMITS_NEW_IDENTITIES_PER_SECOND": ("0.5", 0.5),
    "TOKEND_LIMITS_NEW_IDENTITIES_BURST": ("7", 7),
    "TOKEND_LIMITS_REPLICAS": ("4", 4),
    "TOKEND_LIMITS_CALLERS": (
        '{"key:*": {"calls_per_second": 0}, "**": {"concurrent_calls_of_caller": 1}}',
        {"key:*": CallerLimitSettings(calls_per_second=0.0), "**": CallerLimitSettings(concurrent_calls_of_caller=1)},
    ),
    "TOKEND_AUDIT_DESTINATION": ("file:/var/log/tokend/audit.log", "file:/var/log/tokend/audit.log"),
    "TOKEND_AUDIT_REQUIRED": ("true", True),
    "TOKEND_LOG_LEVEL": ("debug", "debug"),
    "TOKEND_LOG_FORMAT": ("text", "text"),
}

#: The variables without which another one is nothing, with their values if they are not those above.
COMPANIONS: dict[str, tuple[str, ...]] = {
    "TOKEND_SDS_LISTEN": ("TOKEND_SDS_KEY_SET",),
    "TOKEND_SDS_TOKENS": ("TOKEND_SDS_LISTEN",),
    "TOKEND_SDS_KEY_SET": ("TOKEND_SDS_LISTEN",),
    "TOKEND_AWS_LISTEN": ("TOKEND_CALLERS_AWS_KEYS", "TOKEND_CALLERS_AWS_KEY_FILE", "TOKEND_POLICY"),
    "TOKEND_AWS_MANAGE_POOLS": (
        "TOKEND_AWS_LISTEN",
        "TOKEND_CALLERS_AWS_KEYS",
        "TOKEND_CALLERS_AWS_KEY_FILE",
        "TOKEND_POLICY",
    ),
    "TOKEND_CALLERS_AWS_KEYS": ("TOKEND_CALLERS_AWS_KEY_FILE",),
    "TOKEND_COGNITO_SERVE_STALE": ("TOKEND_COGNITO_REUSE_TOKENS",),
    "TOKEND_GRPC_TLS_CERTIFICATE_FILE": ("TOKEND_GRPC_TLS_PRIVATE_KEY_FILE",),
    "TOKEND_GRPC_TLS_PRIVATE_KEY_FILE": ("TOKEND_GRPC_TLS_CERTIFICATE_FILE",),
    "TOKEND_GRPC_TLS_CLIENT_CA_FILE": ("TOKEND_GRPC_TLS_PRIVATE_KEY_FILE", "TOKEND_GRPC_TLS_CERTIFICATE_FILE"),
    "TOKEND_GRPC_IDENTIFY_BY": ("TOKEND_CALLERS_KEYS", "TOKEND_CALLERS_JWT", "TOKEND_POLICY"),
    "TOKEND_GRPC_LISTENERS": ("TOKEND_CALLERS_KEYS", "TOKEND_POLICY"),
    "TOKEND_KEYS_SIGNER": ("TOKEND_KEYS_KMS_REGION",),
    "TOKEND_KEYS_ENCRYPTION_METHOD": ("TOKEND_KEYS_ENCRYPTION_KEY_FILE",),
    "TOKEND_KEYS_ENCRYPTION_KEY_FILE": ("TOKEND_KEYS_ENCRYPTION_METHOD",),
    "TOKEND_KEYS_ENCRYPTION_KMS_KEY_ID": ("TOKEND_KEYS_ENCRYPTION_METHOD=aws-kms", "TOKEND_KEYS_KMS_REGION"),
    "TOKEND_KEYS_ENCRYPTION_PASSPHRASE_FILE": ("TOKEND_KEYS_ENCRYPTION_METHOD",),
    "TOKEND_KEYS_ENCRYPTION_ACCEPT_CLEAR": ("TOKEND_KEYS_ENCRYPTION_METHOD", "TOKEND_KEYS_ENCRYPTION_KEY_FILE"),
    "TOKEND_AUDIT_REQUIRED": ("TOKEND_AUDIT_DESTINATION",),
    "TOKEND_STORE_PASSWORD_FILE": ("TOKEND_STORE_URL",),
    "TOKEND_STORE_RDS_IAM_REGION": ("TOKEND_STORE_URL",),
    "TOKEND_STORE_DATABASE_SCHEMA": ("TOKEND_STORE_URL",),
    "TOKEND_STORE_MAX_CONNECTIONS": ("TOKEND_STORE_URL",),
    "TOKEND_STORE_TIMEOUT_SECONDS": ("TOKEND_STORE_URL",),
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
    return attrgetter(name)(getattr(config, section) if section else config)


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
    for each in (variable, *COMPANIONS.get(variable, ())):
        name, _, value = each.partition("=")
        given = value or SETTINGS[name][0]
        monkeypatch.setenv(name, str(tls_files[given.strip("{}")]) if SETTINGS[name][1] is None else given)
    expected = SETTINGS[variable][1]
    if expected is None:
        expected = tls_files[SETTINGS[variable][0].strip("{}")]
    assert setting_of(load_config(None), variable) == expected != default


def test_the_environment_goes_before_the_file_setting_by_setting(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEND_GRPC_THREADS", "9")
    monkeypatch.setenv("TOKEND_GRPC_LISTEN", "127.0.0.1:9")
    grpc = load(f'{POOL}[grpc]\nthreads = 3\nlisten = ["127.0.0.1:1", "127.0.0.1:2"]\nreflection = false').grpc
    assert (grpc.threads, grpc.listen, grpc.reflection) == (9, ["127.0.0.1:9"], False)


def test_a_table_within_a_table_is_set_by_the_environment_too(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEND_KEYS_KMS_BURST", "9")
    monkeypatch.setenv("TOKEND_KEYS_SIGNER", "aws-kms")
    keys = load(f'{POOL}[keys.kms]\nregion = "eu-west-1"\nburst = 3\nmax_calls = 2').keys
    assert (keys.signer, keys.kms.region, keys.kms.burst, keys.kms.max_calls) == ("aws-kms", "eu-west-1", 9, 2)


@pytest.mark.parametrize(
    ("settings", "streams"),
    [("", 32), ("threads = 1", 32), ("threads = 64", 128), ("threads = 64\nmax_concurrent_streams = 5", 5)],
)
def test_a_connection_has_calls_for_more_than_all_threads(load: Load, settings: str, streams: int) -> None:
    assert load(f"{POOL}[grpc]\n{settings}").grpc.concurrent_streams == streams


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ('method = "file"', 'method = "file" needs one of key_file and passphrase_file'),
        (
            'method = "file"\nkey_file = "a"\npassphrase_file = "b"',
            'method = "file" needs one of key_file and passphrase_file',
        ),
        (
            'key_file = "a"',
            'key_file: without method = "file" no key is encrypted by it; what only opens keys is previous_key_files',
        ),
        (
            'method = "aws-kms"',
            'method = "aws-kms" and kms_key_id belong together; what only opens keys is previous_kms_key_ids',
        ),
        (
            'kms_key_id = "alias/x"',
            'method = "aws-kms" and kms_key_id belong together; what only opens keys is previous_kms_key_ids',
        ),
        (
            "accept_clear = false",
            "accept_clear = false needs a method: new keys would be kept in clear, and be refused",
        ),
    ],
)
def test_an_encryption_that_contradicts_itself_is_refused(problems: Problems, settings: str, problem: str) -> None:
    assert problems(f"{POOL}[keys.encryption]\n{settings}") == [f"keys.encryption: {problem}"]


def test_a_kms_key_without_a_region_is_refused(problems: Problems) -> None:
    settings = 'previous_kms_key_ids = ["arn:aws:kms:eu-west-1:123456789012:key/1a"]\nmethod = "aws-kms"\n'
    assert problems(f'{POOL}[keys.encryption]\n{settings}kms_key_id = "alias/tokend"') == [
        "keys: kms.region must name the region of KMS keys in encryption that are not given by their ARNs"
    ]


def test_the_environment_may_declare_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEND_POOLS", '{"us-east-1:0b": {"developer_provider_name": "login.example"}}')
    assert "us-east-1:0b" in load_config(None).pools


def test_tables_of_the_environment_come_behind_those_of_the_file(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    row = '{"callers": ["key:b"], "pools": ["*"], "operations": ["*"]}'
    monkeypatch.setenv("TOKEND_POLICY", f'{{"first": {row}, "everybody": {row}}}')
    monkeypatch.setenv("TOKEND_CALLERS_KEYS", f'{{"other": ["{DIGEST}"]}}')
    monkeypatch.setenv("TOKEND_GRPC_IDENTIFY_BY", "bearer_key")
    config = load(f"{POOL}{EVERYBODY}max_token_duration_seconds = 60\n{KEYS}")
    assert list(config.policy) == ["everybody", "first"]
    assert config.policy["everybody"].callers == ["key:b"]
    assert config.policy["everybody"].max_token_duration_seconds == 60  # setting by setting
    assert list(config.callers.keys) == ["checkout", "other"]


def test_all_problems_are_reported_at_once(problems: Problems, monkeypatch: pytest.MonkeyPatch) -> None:
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
url = "mysql://db"
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
        (f"{POOL}[server]\nport = 1", "server: there is no such setting"),
        (f'{POOL}colour = "red"', f"pools.{POOL_ID}.colour: there is no such setting"),
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
            "https:// + name 1 must be a URL",
        ),
        (f"{POOL}[grpc]\nmax_receive_message_bytes = 3000000000", "grpc.max_receive_message_bytes: "),
        (f"{POOL}[grpc]\nmax_connection_age_seconds = 3000000", "grpc.max_connection_age_seconds: "),
        (f"{POOL}[grpc]\ndrain_delay_seconds = inf", "grpc.drain_delay_seconds: "),
        (f"{POOL}[grpc]\nlisten = []", "grpc.listen: "),
        (f'{POOL}[grpc]\nlisten = ["unix:"]', "grpc.listen.0: must name the socket"),
        (f'{POOL}[grpc]\nlisten = ["127.0.0.1:1", "127.0.0.1"]', "grpc.listen.1: must be HOST:PORT"),
        (f"{POOL}[grpc]\nthreads = 0", "grpc.threads: "),
        (f"{POOL}[grpc]\nthreads = true", "grpc.threads: must be a number, not true or false"),
        (f"{POOL}[grpc]\ndrain_delay_seconds = true", "grpc.drain_delay_seconds: must be a number"),
        (f"{POOL}[grpc]\nmax_concurrent_streams = true", "grpc.max_concurrent_streams: must be a number"),
        (
            f'{POOL}[sds.tokens.a]\nidentity_pool_id = "{POOL_ID}"\nuser = "a"\ntoken_duration_seconds = true',
            "sds.tokens.a.token_duration_seconds: must be a number",
        ),
        (f"{POOL}[cognito]\nserve_stale = true", "cognito: serve_stale needs reuse_tokens = true"),
        (f'{POOL}[cognito]\nendpoint_url = "http://cognito.example"', "cognito.endpoint_url: must be https"),
        (f'{POOL}[cognito]\nrole_arn = "arn:aws:iam::1:role/x"', "cognito.role_arn: "),
        (f'{POOL}[keys]\nsigner = "aws-kms"', "keys: kms.region must name the region in which keys are made"),
        (f'{POOL}[keys]\nsigner = "hsm"', "keys.signer: "),
        (f'{POOL}[keys.kms]\nregion = "Ireland"', "keys.kms.region: "),
        (f"{POOL}[keys.kms]\ndeletion_window_days = 6", "keys.kms.deletion_window_days: "),
        (f"{POOL}[keys.kms]\nregions = 1", "keys.kms.regions: there is no such setting; did you mean keys.kms.region?"),
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
    (problem,) = raised.value.problems
    assert problem.startswith(f"{variable}: there is no such setting")
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
def test_what_others_can_reach_needs_a_guard_or_a_word(
    address: str, reason: str, load: Load, problems: Problems, tls_files: dict[str, Path]
) -> None:
    listen = f'listen = ["{address}"]\n'
    plain = f"{POOL}[grpc]\n{listen}"
    assert load(f"{plain}insecure = true").grpc.insecure
    guarded = grpc_with(tls_files["certificate"], tls_files["key"], f'{listen}identify_by = ["bearer_key"]')
    assert load(f"{guarded}\n{KEYS}{EVERYBODY}").grpc.listen == [address]
    if reason:
        assert problems(plain) == [exposed(reason, TLS, AUTHENTICATOR, POLICY)]
    else:
        assert load(plain).grpc.listen == [address]


TLS = "TLS (tls_certificate_file, tls_private_key_file)"
AUTHENTICATOR = "an authenticator (identify_by)"
POLICY = "a policy ([policy.NAME])"


def exposed(reason: str, *missing: str) -> str:
    how = "listen on a loopback address or a unix socket, or write insecure = true"
    return f"grpc: {reason}: configure {', '.join(missing)}, {how}"


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({TLS, POLICY}, [AUTHENTICATOR]),
        ({AUTHENTICATOR, POLICY}, [TLS]),
        ({TLS}, [AUTHENTICATOR, POLICY]),
        ({POLICY}, [TLS, AUTHENTICATOR]),
    ],
)
def test_what_a_guard_lacks_is_named(
    given: set[str], missing: list[str], problems: Problems, tls_files: dict[str, Path]
) -> None:
    grpc = grpc_with(tls_files["certificate"], tls_files["key"]) if TLS in given else f"{POOL}[grpc]\n"
    way = 'identify_by = ["bearer_key"]\n' if AUTHENTICATOR in given else ""
    policy = EVERYBODY if POLICY in given else ""
    found = problems(f'{grpc}listen = ["10.0.0.1:1"]\n{way}{KEYS}{policy}')
    assert found == [exposed("others can reach 10.0.0.1:1", *missing)]


def test_each_exposed_address_is_named(problems: Problems) -> None:
    found = problems(f'{POOL}[grpc]\nlisten = ["127.0.0.1:1", "10.0.0.1:2", "10.0.0.2:3"]')
    assert found == [
        exposed(f"others can reach {each}", TLS, AUTHENTICATOR, POLICY) for each in ("10.0.0.1:2", "10.0.0.2:3")
    ]


def test_an_exposed_address_may_be_guarded_by_settings_of_its_own(
    load: Load, problems: Problems, tls_files: dict[str, Path]
) -> None:
    settings = f"""
tls_certificate_file = "{tls_files["certificate"]}"
tls_private_key_file = "{tls_files["key"]}"
identify_by = ["bearer_key"]
{KEYS}{EVERYBODY}"""
    listen = f'{POOL}[grpc]\nlisten = ["10.0.0.1:1", "127.0.0.1:2"]\n'
    guarded = load(f'{listen}[grpc.listeners."10.0.0.1:1"]{settings}').grpc.guarded
    assert [(each.address, each.identify_by, each.tls_files is not None) for each in guarded] == [
        ("10.0.0.1:1", ["bearer_key"], True),
        ("127.0.0.1:2", [], False),
    ]
    found = problems(f'{listen}[grpc.listeners."127.0.0.1:2"]{settings}')
    assert found == [exposed("others can reach 10.0.0.1:1", TLS, AUTHENTICATOR)]


def test_an_address_may_be_less_guarded_than_the_others(load: Load, problems: Problems) -> None:
    text = f"""{POOL}[grpc]
listen = ["127.0.0.1:1", "unix:/run/s"]
identify_by = ["bearer_key"]
trusted_proxies = ["dns:a"]
[grpc.listeners."unix:/run/s"]
identify_by = []
{KEYS}"""
    first, second = load(f"{text}{EVERYBODY}").grpc.guarded
    assert (first.identify_by, second.identify_by) == (["bearer_key"], [])
    assert first.trusted_proxies == second.trusted_proxies == ["dns:a"]
    assert first.is_local
    assert second.is_local
    assert problems(text + EVERYBODY.replace("**", "key:*")) == [
        'policy: every call to unix:/run/s would be refused: set identify_by there, or name "anonymous" in a row'
    ]


#: What contradicts itself about a listener: the rest of [grpc], with the names of TLS files, and the problems.
CONTRADICTIONS: dict[str, tuple[str, list[str]]] = {
    "certificates without an authority": (
        '{tls}identify_by = ["mutual_tls"]',
        ["mutual_tls needs tls_client_ca_file"],
    ),
    "certificates on a unix socket": (
        'listen = ["unix:/run/s"]\nidentify_by = ["mutual_tls"]',
        ["mutual_tls is not for unix sockets"],
    ),
    "certificates on a unix socket among others": (
        'listen = ["127.0.0.1:1", "unix:/run/s"]\n{tls}{ca}identify_by = ["mutual_tls"]',
        ["mutual_tls is not for unix sockets"],
    ),
    "an authority without TLS": (
        "{ca}",
        ["tls_client_ca_file needs tls_certificate_file and tls_private_key_file"],
    ),
    "a header of anybody's": (
        '{tls}identify_by = ["x_forwarded_client_cert"]',
        ["x_forwarded_client_cert needs tls_client_ca_file and trusted_proxies, or a unix socket"],
    ),
    "a header of any client's": (
        '{tls}{ca}identify_by = ["x_forwarded_client_cert"]',
        ["x_forwarded_client_cert needs tls_client_ca_file and trusted_proxies, or a unix socket"],
    ),
    "a header of a proxy's that proves nothing": (
        'identify_by = ["x_forwarded_client_cert"]\ntrusted_proxies = ["dns:proxy"]',
        ["x_forwarded_client_cert needs tls_client_ca_file and trusted_proxies, or a unix socket"],
    ),
    "a proxy that is taken for the caller": (
        '{tls}{ca}identify_by = ["mutual_tls", "x_forwarded_client_cert"]\ntrusted_proxies = ["dns:proxy"]',
        ["x_forwarded_client_cert must stand before mutual_tls, which would take the proxy for the caller"],
    ),
    "several at once": (
        """listen = ["127.0.0.1:1", "unix:/run/s", "127.0.0.1:2"]
{ca}identify_by = ["mutual_tls", "x_forwarded_client_cert"]
[grpc.listeners."127.0.0.1:3"]""",
        [
            "listeners: 127.0.0.1:3 is not in listen",
            "tls_client_ca_file needs tls_certificate_file and tls_private_key_file",
            "x_forwarded_client_cert must stand before mutual_tls, which would take the proxy for the caller",
            "x_forwarded_client_cert needs tls_client_ca_file and trusted_proxies, or a unix socket",
            "mutual_tls is not for unix sockets",
        ],
    ),
    "one address's own": (
        'listen = ["127.0.0.1:1", "127.0.0.1:2"]\n[grpc.listeners."127.0.0.1:2"]\nidentify_by = ["mutual_tls"]',
        ["listeners.127.0.0.1:2: mutual_tls needs tls_client_ca_file"],
    ),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_listener_that_contradicts_itself_is_refused(
    case: str, problems: Problems, tls_files: dict[str, Path]
) -> None:
    text, expected = CONTRADICTIONS[case]
    tls = f'tls_certificate_file = "{tls_files["certificate"]}"\ntls_private_key_file = "{tls_files["key"]}"\n'
    ca = f'tls_client_ca_file = "{tls_files["other_certificate"]}"\n'
    found = problems(f"{POOL}[grpc]\n{text.format(tls=tls, ca=ca)}\n{EVERYBODY}")
    assert found == [f"grpc: {each}" for each in expected]


@pytest.mark.parametrize(
    "text",
    [
        'listen = ["unix:/run/s"]\nidentify_by = ["x_forwarded_client_cert"]',
        '{tls}{ca}identify_by = ["x_forwarded_client_cert", "mutual_tls"]\ntrusted_proxies = ["dns:proxy"]',
        '{tls}{ca}identify_by = ["mutual_tls", "bearer_key"]',
        """listen = ["127.0.0.1:1", "unix:/run/s"]
{tls}{ca}identify_by = ["mutual_tls"]
[grpc.listeners."unix:/run/s"]
identify_by = ["bearer_key"]""",
    ],
)
def test_ways_that_fit_a_listener_are_taken(text: str, load: Load, tls_files: dict[str, Path]) -> None:
    tls = f'tls_certificate_file = "{tls_files["certificate"]}"\ntls_private_key_file = "{tls_files["key"]}"\n'
    ca = f'tls_client_ca_file = "{tls_files["other_certificate"]}"\n'
    assert load(f"{POOL}[grpc]\n{text.format(tls=tls, ca=ca)}\n{KEYS}{EVERYBODY}").grpc.guarded


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('identify_by = ["jwt"]', ["grpc.identify_by: jwt needs an issuer, as [callers.jwt.NAME]"]),
        ('identify_by = ["bearer_key"]', ["grpc.identify_by: bearer_key needs a key in [callers.keys]"]),
        (
            """listen = ["127.0.0.1:1", "unix:/run/s"]
identify_by = ["jwt"]
[grpc.listeners."unix:/run/s"]
identify_by = ["bearer_key"]""",
            [
                "grpc.identify_by: jwt needs an issuer, as [callers.jwt.NAME]",
                "grpc.identify_by: bearer_key needs a key in [callers.keys]",
            ],
        ),
    ],
)
def test_a_way_needs_what_it_goes_by(text: str, expected: list[str], problems: Problems) -> None:
    assert problems(f"{POOL}[grpc]\n{text}\n{EVERYBODY}") == expected


def test_identified_callers_need_a_policy_even_where_insecure(load: Load, problems: Problems) -> None:
    text = f'{POOL}[grpc]\ninsecure = true\nidentify_by = ["bearer_key", "jwt"]\n{KEYS}{ISSUER}'
    assert problems(text) == ["policy: identified callers need a policy; declare at least one row, as [policy.NAME]"]
    assert load(f"{text}{EVERYBODY}").policy


@pytest.mark.parametrize("patterns", ['["anonymous"]', '["key:a", "**"]', '["*"]'])
def test_where_callers_are_not_identified_a_row_for_them_will_do(patterns: str, load: Load) -> None:
    assert load(f"{POOL}[policy.a]\ncallers = {patterns}\n{EVERYTHING}").policy


def test_a_policy_that_refuses_every_call_is_a_mistake(problems: Problems) -> None:
    rows = "".join(f'[policy.{name}]\ncallers = ["{name}:*"]\n{EVERYTHING}' for name in ("key", "dns"))
    assert problems(f'{POOL}{rows}[grpc]\nlisten = ["127.0.0.1:1", "unix:/run/s"]') == [
        f'policy: every call to {each} would be refused: set identify_by there, or name "anonymous" in a row'
        for each in ("127.0.0.1:1", "unix:/run/s")
    ]


def test_rows_name_pools_that_there_are(problems: Problems) -> None:
    row = 'callers = ["**"]\noperations = ["*"]\n'
    assert problems(
        f'{POOL}[policy.a]\n{row}pools = ["{POOL_ID}", "us-east-1:ff", "us-east-1:0b"]\n'
        f'[policy.b]\n{row}pools = ["*"]\n[policy.c]\n{row}pools = ["us-east-1:ff"]'
    ) == [
        "policy.a.pools: no such pool: us-east-1:0b, us-east-1:ff",
        "policy.c.pools: no such pool: us-east-1:ff",
    ]


def test_what_concerns_several_settings_is_reported_all_at_once(problems: Problems) -> None:
    found = problems(
        f'{POOL}[grpc]\nlisten = ["10.0.0.1:1"]\nidentify_by = ["jwt", "bearer_key"]\n'
        f'[policy.a]\ncallers = ["**"]\noperations = ["*"]\npools = ["us-east-1:ff"]'
    )
    assert [problem.partition(": ")[0] for problem in found] == [
        "grpc.identify_by",
        "grpc.identify_by",
        "grpc",
        "policy.a.pools",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[grpc]\nidentify_by = ["tls"]', "grpc.identify_by.0: "),
        ('[grpc]\ntrusted_proxies = [""]', "grpc.trusted_proxies.0: a pattern of callers must not be empty"),
        ('[grpc]\nhealth = "no one"', "grpc.health: "),
        ("[grpc]\nmessage_timeout_seconds = 0", "grpc.message_timeout_seconds: "),
        ("[grpc]\nmax_connections = 0", "grpc.max_connections: "),
        ('[grpc.listeners."127.0.0.1"]', "grpc.listeners.127.0.0.1.[key]: must be HOST:PORT"),
        ('[grpc.listeners."127.0.0.1:50051"]\ninsecure = true', "grpc.listeners.127.0.0.1:50051.insecure: "),
        ('[callers.keys]\n"a b" = ["x"]', "callers.keys.a b.[key]: "),
        ("[callers.keys]\na = []", "callers.keys.a: "),
        ('[callers.jwt.a]\naudiences = ["t"]\nalgorithms = ["RS256"]', "callers.jwt.a.issuer: "),
        ('[callers.jwt.a]\nissuer = "https://i"\nalgorithms = ["RS256"]', "callers.jwt.a.audiences: Field required"),
        (ISSUER.replace('["tokend"]', "[]"), "callers.jwt.cluster.audiences: "),
        (ISSUER.replace('["tokend"]', '[""]'), "callers.jwt.cluster.audiences.0: "),
        (ISSUER.replace('["RS256"]', "[]"), "callers.jwt.cluster.algorithms: "),
        (ISSUER.replace("RS256", "HS256"), "callers.jwt.cluster.algorithms.0: "),
        (ISSUER.replace("RS256", "none"), "callers.jwt.cluster.algorithms.0: "),
        (ISSUER.replace("https://", "http://"), "callers.jwt.cluster.issuer: must be https"),
        (f'{ISSUER}jwks_url = "http://i.example/keys"', "callers.jwt.cluster.jwks_url: must be https"),
        ("[callers]\nmax_token_bytes = 1023", "callers.max_token_bytes: "),
        ("[callers]\nmax_token_bytes = 1048577", "callers.max_token_bytes: "),
        (f"{ISSUER}clock_skew_seconds = -1", "callers.jwt.cluster.clock_skew_seconds: "),
        (f"{ISSUER}clock_skew_seconds = 3601", "callers.jwt.cluster.clock_skew_seconds: "),
        (f"{ISSUER}clock_skew_seconds = nan", "callers.jwt.cluster.clock_skew_seconds: "),
        (
            EVERYBODY.replace("**", "jwt:cluster:build bot"),
            "policy.everybody.callers.0: no caller's name has white space",
        ),
        (EVERYBODY.replace("**", "jwt:cluster:50%"), "policy.everybody.callers.0: in a caller's name % begins"),
        (EVERYBODY.replace("everybody", '"every body"'), "policy.every body.[key]: "),
        (EVERYBODY.replace('["**"]', "[]"), "policy.everybody.callers: "),
        (
            EVERYBODY.replace('"**"', '"***"'),
            "policy.everybody.callers.0: a pattern of callers must not have more than two stars",
        ),
        ('[policy.a]\ncallers = ["**"]\npools = []\noperations = ["*"]', "policy.a.pools: "),
        ('[policy.a]\ncallers = ["**"]\npools = ["*"]\noperations = []', "policy.a.operations: "),
        ('[policy.a]\ncallers = ["**"]\npools = ["*"]\noperations = ["Delete"]', "policy.a.operations.0"),
        (f"{EVERYBODY}max_token_duration_seconds = 0", "policy.everybody.max_token_duration_seconds: "),
        (f"{EVERYBODY}max_token_duration_seconds = 86401", "policy.everybody.max_token_duration_seconds: "),
        ("[limits]\nconcurrent_calls = 0", "limits.concurrent_calls: "),
        ("[limits]\ncalls_per_second = -1", "limits.calls_per_second: "),
        ("[limits]\ncalls_per_second = inf", "limits.calls_per_second: "),
        ("[limits]\ncalls_burst = 0", "limits.calls_burst: "),
        ('[limits.callers."***"]\ncalls_burst = 1', "limits.callers.***.[key]: "),
        ('[limits.callers."key:*"]\nconcurrent_calls = 1', "limits.callers.key:*.concurrent_calls: "),
        ('[audit]\ndestination = "file:audit.log"', "audit.destination: must be none, stdout or file:/PATH"),
        ('[audit]\ndestination = "syslog"', "audit.destination: must be none, stdout or file:/PATH"),
    ],
)
def test_a_problem_with_callers_is_named(text: str, expected: str, problems: Problems) -> None:
    found = problems(f"{POOL}{text}")
    assert any(problem.startswith(expected) for problem in found), found


def test_rows_and_limits_keep_their_order(load: Load) -> None:
    names = ["zebra", "apple", "mango"]
    rows = "".join(f'[policy.{name}]\ncallers = ["**"]\n{EVERYTHING}' for name in names)
    limits = "".join(f'[limits.callers."key:{name}"]\ncalls_burst = 1\n' for name in names)
    config = load(f"{POOL}{rows}{limits}")
    assert list(config.policy) == names
    assert list(config.limits.callers) == [f"key:{name}" for name in names]


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
    for found in (
        problems(grpc_with(files[certificate], files[key])),
        problems(f'{grpc_with(files[certificate], files[key])}listen = ["127.0.0.1:1", "127.0.0.1:2"]'),
    ):
        (problem,) = found
        assert problem.startswith("grpc: the TLS files cannot be used: /")


def test_an_authority_of_clients_that_is_none_is_a_problem(tls_files: dict[str, Path], problems: Problems) -> None:
    ca = f'tls_client_ca_file = "{tls_files["key"]}"'
    (problem,) = problems(grpc_with(tls_files["certificate"], tls_files["key"], ca))
    assert problem == f"grpc: the TLS files cannot be used: {tls_files['key']}: no PEM certificates"


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
        f'[store]\nurl = "mysql://user:{SECRET}@db/tokend"',
        f'[store]\nurl = "postgresql://user:{SECRET}@{SECRET}@db/tokend"',
        f'[store]\nurl = "postgresql://user@db/tokend?password={SECRET}"',
        f'[grpc]\nlisten = ["user:{SECRET}@10.0.0.1:1"]',
        f'[ops]\nlisten = "{SECRET}"',
        f'[log]\nlevel = "{SECRET}"',
        f'[grpc]\nthreads = "{SECRET}"',
        f'password = "{SECRET}"',
        f'[grpc]\npassword = "{SECRET}"',
        f'[ops]\nlisten = "user:{SECRET}"',
        f'[ops]\nlisten = "[{SECRET}]:1"',
        f'[issuer]\nurl = "https://user:{SECRET}"',
        f'[issuer]\nurl = "https://user:{SECRET}@\u2100"',
        f'[cognito]\nendpoint_url = "https://{SECRET}:{SECRET}"',
        f'[callers.keys]\na = ["{SECRET}"]',
        f'[callers.keys]\na = "{SECRET}"',
        f'[callers]\nkeys = "{SECRET}"',
        f'{ISSUER}bearer_token = "{SECRET}"',
        ISSUER.replace("https://", f"https://user:{SECRET}@"),
        ISSUER.replace("RS256", SECRET),
        f'[audit]\ndestination = "https://user:{SECRET}@logs.example"',
        f'[grpc]\nidentify_by = ["{SECRET}"]',
        f'[limits]\ncalls_per_second = "{SECRET}"',
        f'[policy]\neverybody = "{SECRET}"',
    ],
)
def test_a_value_that_is_refused_is_not_repeated(text: str, problems: Problems) -> None:
    found = problems(f"{text}\n{POOL}")
    assert found
    assert SECRET not in str(found)


@pytest.mark.parametrize(
    "variable",
    [
        "TOKEND_POOLS",
        "TOKEND_GRPC",
        "TOKEND_GRPC_THREADS",
        "TOKEND_GRPC_LISTENERS",
        "TOKEND_STORE_URL",
        "TOKEND_CALLERS_KEYS",
        "TOKEND_CALLERS_JWT",
        "TOKEND_POLICY",
        "TOKEND_LIMITS_CALLERS",
    ],
)
def test_a_variable_that_is_refused_is_not_repeated(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, SECRET)
    with pytest.raises(ConfigError) as raised:
        load_config(None)
    assert variable.split("_")[1].lower() in str(raised.value).lower()
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("given", [f'["{KEY.reveal()}"]', f'["{DIGEST}", "sha256:{KEY.reveal()}"]'])
def test_a_key_in_place_of_its_digest_is_refused_and_not_repeated(given: str, problems: Problems) -> None:
    (problem,) = problems(f"{POOL}[callers.keys]\ncheckout = {given}")
    assert problem.startswith("callers.keys.checkout.")
    assert problem.endswith(": must be the digest of a key: sha256: and 64 hexadecimal digits")
    assert KEY.reveal() not in problem


@pytest.mark.parametrize("given", [f'{{"checkout": ["{KEY.reveal()}"]}}', KEY.reveal(), f'["{KEY.reveal()}"]'])
def test_a_key_in_the_environment_is_refused_and_not_repeated(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEND_CALLERS_KEYS", given)
    with pytest.raises(ConfigError) as raised:
        load_config(None)
    assert "callers" in str(raised.value)
    assert KEY.reveal() not in str(raised.value)
    assert raised.value.__cause__ is None  # which would show what was given


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
