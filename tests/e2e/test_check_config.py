from pathlib import Path

import pytest
from tests.support.server_process import ServerProcess
from tests.support.tokend import failed, run

from tokend_server.config import environment_variables


def test_check_config_says_what_would_be_served(config: Path) -> None:
    ended = run("check-config", TOKEND_CONFIG=str(config))
    store = config.parent / "tokend.db"
    assert ended.stdout == f"ok: 1 pool(s), gRPC on 127.0.0.1:0, store {store}\n"
    assert ended.returncode == 0
    (warning,) = ended.stderr.splitlines()
    assert warning.startswith("warning: keys.encryption: private keys are kept in clear")
    assert not store.exists()


def test_check_config_names_every_problem(config: Path) -> None:
    config.write_text('[grpc]\nthreads = 0\nlisten = ["0.0.0.0:1"]\n[log]\nlevel = "loud"\n', encoding="utf-8")
    said = failed("check-config", "--config", str(config), TOKEND_TYPO="1")
    assert [line.split(": ")[:2] for line in said.splitlines()] == [
        ["configuration", "pools"],
        ["configuration", "TOKEND_TYPO"],
        ["configuration", "grpc.threads"],
        ["configuration", "log.level"],
    ]


def test_check_config_names_what_serve_would_not_have_of_traces(config: Path) -> None:
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
            "store.url: libpq does not take it: check its parameters and what is encoded",
        ),
        (
            {"TOKEND_STORE_URL": "postgresql://a.example,b.example/tokend", "TOKEND_STORE_RDS_IAM_REGION": "eu-west-1"},
            "store.rds_iam_region: store.url must name one host and a user, for whom tokens are signed",
        ),
    ],
)
def test_check_config_names_what_no_connection_could_be_opened_by(
    store: dict[str, str], problem: str, config: Path
) -> None:
    assert failed("check-config", "--config", str(config), **store) == f"configuration: {problem}\n"


def test_the_variables_of_a_service_are_reported_once(config: Path) -> None:
    service = {"TOKEND_PORT": "tcp://10.96.0.17:50051", "TOKEND_GRPC_SERVICE_HOST": "10.96.0.17"}
    checked = run("check-config", "--config", str(config), **service)
    line, _in_clear = checked.stderr.splitlines()
    assert line.startswith("warning: environment: TOKEND_GRPC_SERVICE_HOST, TOKEND_PORT: ")
    assert checked.returncode == 0
    with ServerProcess(config, service) as server:
        told = [record for record in server.log if "TOKEND_PORT" in record["message"]]
    assert [record["level"] for record in told] == ["WARNING"]


def test_the_reference_has_a_row_for_every_setting() -> None:
    ended = run("check-config", "--reference", TOKEND_LOG_LEVEL="wrong but not looked at")
    assert (ended.stderr, ended.returncode) == ("", 0)
    header, rule, *rows = (line.strip("| ").split(" | ") for line in ended.stdout.splitlines())
    assert (header, rule) == (["setting", "default", "meaning"], ["---|---|---"])
    settings = [section + "." + name if section else name for section, name in environment_variables().values()]
    assert {f"`{name}`" for name in settings if name not in {"policy", "pools"}} <= {row[0] for row in rows}
    assert ['`pools."ID".signing_algorithm`', "`RS512`", "Local engine: JWS algorithm of its tokens"] in rows
    assert all(len(row) == 3 and all(row) for row in rows)
