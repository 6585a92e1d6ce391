from pathlib import Path

import pytest
from tests.support.server_process import POOL_ID, ServerProcess
from tests.support.tokend import failed, run

from tokend_server.config import environment_variables


def test_check_config_says_what_would_be_served(config: Path) -> None:
    ended = run("check-config", TOKEND_CONFIG=str(config))
    store = config.parent / "tokend.db"
    assert ended.stdout == f"ok: 1 pool(s), gRPC on 127.0.0.1:0, store {store}\n"
    assert ended.returncode == 0
    (warning,) = ended.stderr.splitlines()
    assert warning.startswith("warning: keys.encryption: private keys are stored in clear")
    assert not store.exists()


def test_check_config_names_every_problem(config: Path) -> None:
    config.write_text('[grpc]\nthreads = 0\nlisten = ["0.0.0.0:1"]\n[log]\nlevel = "loud"\n', encoding="utf-8")
    error = failed("check-config", "--config", str(config), TOKEND_TYPO="1")
    assert [line.split(": ")[:2] for line in error.splitlines()] == [
        ["configuration", "pools"],
        ["configuration", "TOKEND_TYPO"],
        ["configuration", "grpc.threads"],
        ["configuration", "log.level"],
    ]


def test_check_config_reports_an_unknown_trace_exporter(config: Path) -> None:
    ended = run("check-config", "--config", str(config), OTEL_TRACES_EXPORTER="pigeon")
    problem = "configuration: OTEL_TRACES_EXPORTER: no exporter 'pigeon' is installed\n"
    assert (ended.returncode, ended.stderr) == (1, problem)
    serving = run("serve", "--config", str(config), OTEL_TRACES_EXPORTER="pigeon")
    assert (serving.returncode, serving.stderr.splitlines(keepends=True)[-1]) == (1, problem)
    assert run("check-config", "--config", str(config), OTEL_TRACES_EXPORTER="otlp").returncode == 0


@pytest.mark.parametrize(
    ("store", "problem"),
    [
        (
            {"TOKEND_STORE_URL": "postgresql://db.example/tokend?sslmod=verify-full"},
            "store.url: libpq rejects it: check its parameters and its percent-encoding",
        ),
        (
            {"TOKEND_STORE_URL": "postgresql://a.example,b.example/tokend", "TOKEND_STORE_RDS_IAM_REGION": "eu-west-1"},
            "store.rds_iam_region: store.url must name one host and a user, for whom tokens are signed",
        ),
        (
            {"TOKEND_STORE_URL": "postgresql://u@db.example/tokend", "TOKEND_STORE_PASSWORD_FILE": "/nowhere/password"},
            "store.password_file: /nowhere/password: No such file or directory",
        ),
    ],
)
def test_check_config_reports_invalid_postgresql_settings(store: dict[str, str], problem: str, config: Path) -> None:
    assert failed("check-config", "--config", str(config), **store) == f"configuration: {problem}\n"


@pytest.mark.parametrize(
    ("left", "problem"),
    [
        ("tokend.db", "holds the signing keys and everybody may open it: chmod o= "),
        ("tokend.db-wal", "is gone or empty, and its log "),
    ],
)
def test_check_config_reports_a_database_that_serve_would_reject(left: str, problem: str, config: Path) -> None:
    (file := config.parent / left).write_bytes(b"1")
    file.chmod(0o604)
    checked = failed("check-config", "--config", str(config))
    assert checked.startswith(f"configuration: store.url: {config.parent}/tokend.db {problem}")
    serving = run("serve", "--config", str(config))
    assert serving.returncode == 1
    assert checked in serving.stderr.splitlines(keepends=True)  # lines of the log have their own thread


#: Variables for Cognito's own API.
FOR_CLIENTS_OF_AWS = {
    "TOKEND_AWS_LISTEN": "127.0.0.1:0",
    "TOKEND_CALLERS_AWS_KEYS": '{"a": ["TKNDAAAAAAAAAAAAAAAA"]}',
    "TOKEND_CALLERS_AWS_KEY_FILE": "{directory}/aws.key",
    "TOKEND_POLICY": '{"a": {"callers": ["anonymous"], "pools": ["*"], "operations": ["*"]}}',
}


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "No such file or directory"), ("a", "has 1 bytes; it must hold 32 random bytes")]
)
def test_check_config_checks_the_key_file_of_access_keys(content: str | None, problem: str, config: Path) -> None:
    file = config.parent / "aws.key"
    if content is not None:
        file.write_text(content, encoding="ascii")
    given = {**FOR_CLIENTS_OF_AWS, "TOKEND_CALLERS_AWS_KEY_FILE": str(file)}
    checked = failed("check-config", "--config", str(config), **given)
    assert checked.startswith(f"configuration: callers.aws_key_file: {file}: {problem}")
    serving = run("serve", "--config", str(config), **given)
    assert (serving.returncode, serving.stderr.splitlines(keepends=True)[-1]) == (1, checked)


#: Configurations with an AWS client, and the problem if it cannot be created.
WITH_AWS = {
    "cognito": ({}, 'engine = "cognito"', "cognito"),
    "dynamodb": ({"TOKEND_STORE_URL": "dynamodb://tokend?region=eu-west-1"}, "", "store.url"),
    "keys in KMS": ({"TOKEND_KEYS_SIGNER": "aws-kms", "TOKEND_KEYS_KMS_REGION": "eu-west-1"}, "", "keys.kms"),
    "encryption by KMS": (
        {
            "TOKEND_KEYS_ENCRYPTION_METHOD": "aws-kms",
            "TOKEND_KEYS_ENCRYPTION_KMS_KEY_ID": "arn:aws:kms:eu-west-1:123456789012:key/0",
        },
        "",
        "keys.encryption",
    ),
    "credentials of STS": (
        {
            **FOR_CLIENTS_OF_AWS,
            "TOKEND_AWS_CREDENTIALS_SOURCE": "sts",
            "TOKEND_ISSUER_URL": "https://tokens.example.test",
        },
        "",
        "aws.credentials",
    ),
}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"AWS_PROFILE": "nonsense"}, "The config profile (nonsense) could not be found"),
        ({"AWS_ENDPOINT_URL": "nonsense"}, "Invalid endpoint: nonsense"),
    ],
)
@pytest.mark.parametrize("part", WITH_AWS)
def test_check_config_reports_invalid_settings_of_aws_clients(
    part: str, variables: dict[str, str], expected: str, config: Path
) -> None:
    given, line, place = WITH_AWS[part]
    settings = {name: value.replace("{directory}", str(config.parent)) for name, value in given.items()}
    (config.parent / "aws.key").write_bytes(bytes(range(32)))
    pool = f'[pools."{POOL_ID}"]\ndeveloper_provider_name = "p"\n{line}\n'
    config.write_text(pool, encoding="utf-8")
    checked = failed("check-config", "--config", str(config), **settings, **variables)
    assert checked == f"configuration: {place}: {expected}\n"
    listen = dict.fromkeys(("TOKEND_GRPC_LISTEN", "TOKEND_ISSUER_LISTEN", "TOKEND_OPS_LISTEN"), "127.0.0.1:0")
    serving = run("serve", "--config", str(config), **listen, **settings, **variables)
    assert (serving.returncode, checked in serving.stderr) == (1, True)


def test_the_variables_of_a_kubernetes_service_are_reported_once(config: Path) -> None:
    service = {"TOKEND_PORT": "tcp://10.96.0.17:50051", "TOKEND_GRPC_SERVICE_HOST": "10.96.0.17"}
    checked = run("check-config", "--config", str(config), **service)
    line, _in_clear = checked.stderr.splitlines()
    assert line.startswith("warning: environment: TOKEND_GRPC_SERVICE_HOST, TOKEND_PORT: ")
    assert checked.returncode == 0
    with ServerProcess(config, service) as server:
        warnings = [record for record in server.log if "TOKEND_PORT" in record["message"]]
    assert [record["level"] for record in warnings] == ["WARNING"]


def test_the_reference_has_a_row_for_every_setting() -> None:
    ended = run("check-config", "--reference", TOKEND_LOG_LEVEL="wrong but ignored")
    assert (ended.stderr, ended.returncode) == ("", 0)
    header, rule, *rows = (line.strip("| ").split(" | ") for line in ended.stdout.splitlines())
    assert (header, rule) == (["setting", "default", "meaning"], ["---|---|---"])
    settings = [section + "." + name if section else name for section, name in environment_variables().values()]
    assert {f"`{name}`" for name in settings if name not in {"policy", "pools"}} <= {row[0] for row in rows}
    assert ['`pools."ID".signing_algorithm`', "`RS512`", "Local engine: JWS algorithm of its tokens"] in rows
    assert all(len(row) == 3 and all(row) for row in rows)
