"""The operators' tasks for callers: explaining the policy, checking the configuration, and rotating the audit log."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.authority import Authority
from tests.support.calls import Caller
from tests.support.files import until_exists
from tests.support.server_process import POOL_ID, ServerProcess, write_config
from tests.support.tokend import run

from tokend_server.callers import keys

GET, LOOKUP, MERGE = "GetOpenIdTokenForDeveloperIdentity", "LookupDeveloperIdentity", "MergeDeveloperIdentities"
CHECKOUT = "spiffe://acme.internal/ns/shop/sa/checkout"
OTHER_POOL = "eu-west-1:0b"

KEY = keys.new_key(lambda count: b"k" * count)

POLICY = f"""
[pools."{OTHER_POOL}"]
developer_provider_name = "login.example.test"
[callers.keys]
checkout = ["{keys.digest(KEY)}"]
[policy.shop]
callers = ["spiffe://acme.internal/ns/shop/sa/*"]
pools = ["{POOL_ID}"]
operations = ["{GET}"]
max_token_duration_seconds = 600
principal_tag_keys = ["role", "department"]
[policy.readers]
callers = ["spiffe://**", "key:*", "jwt:idp:build%20bot", "jwt:idp:%C3%A9*"]
pools = ["*"]
operations = ["{LOOKUP}"]
"""

KEYED = 'identify_by = ["bearer_key"]'


def explain(config: Path, caller: str, operation: str, pool: str = POOL_ID) -> tuple[int, dict[str, Any]]:
    """Returns the exit code and the document of `tokend policy explain`."""
    ended = run(
        "policy", "explain", "--config", str(config), "--caller", caller, "--operation", operation, "--pool", pool
    )
    assert ended.stderr == ""
    document: dict[str, Any] = json.loads(ended.stdout)
    return ended.returncode, document


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("policy"), POLICY, KEYED)


def test_a_call_that_is_allowed_is_explained_by_its_row(config: Path) -> None:
    assert explain(config, CHECKOUT, GET) == (
        0,
        {
            "Decision": "allow",
            "Policy": "shop",
            "MaxTokenDurationSeconds": 600,
            "PrincipalTagKeys": ["department", "role"],
            "Rows": [
                {"Policy": "shop", "Caller": True, "Operation": True, "Pool": True},
                {"Policy": "readers", "Caller": True, "Operation": False, "Pool": True},
            ],
        },
    )


@pytest.mark.parametrize(
    ("caller", "operation", "pool", "shop", "readers"),
    [
        (CHECKOUT, GET, OTHER_POOL, [True, True, False], [True, False, True]),
        (CHECKOUT, MERGE, POOL_ID, [True, False, True], [True, False, True]),
        ("spiffe://acme.internal/ns/other/sa/x", GET, POOL_ID, [False, True, True], [True, False, True]),
        ("anonymous", LOOKUP, POOL_ID, [False, False, True], [False, True, True]),
        ("jwt:idp:build%2520bot", LOOKUP, POOL_ID, [False, False, True], [False, True, True]),
    ],
)
def test_a_call_that_is_denied_is_explained_by_what_each_row_lacks(  # noqa: PLR0913, PLR0917 - a table
    caller: str, operation: str, pool: str, shop: list[bool], readers: list[bool], config: Path
) -> None:
    code, document = explain(config, caller, operation, pool)
    names = ("Caller", "Operation", "Pool")
    assert code == 1
    assert document == {
        "Decision": "deny",
        "Rows": [
            {"Policy": "shop", **dict(zip(names, shop, strict=True))},
            {"Policy": "readers", **dict(zip(names, readers, strict=True))},
        ],
    }


@pytest.mark.parametrize("caller", ["jwt:idp:build%20bot", "jwt:idp:%C3%A9t%C3%A9"])
def test_a_percent_encoded_jwt_subject_is_explained(caller: str, config: Path) -> None:
    code, document = explain(config, caller, LOOKUP)
    assert (code, document["Policy"]) == (0, "readers")


def test_an_invalid_caller_name_is_rejected_with_its_percent_encoding(config: Path) -> None:
    words = ("--caller", "jwt:idp:build bot", "--operation", LOOKUP, "--pool", POOL_ID)
    ended = run("policy", "explain", "--config", str(config), *words)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "jwt:idp:build%20bot" in ended.stderr


def test_without_a_policy_every_call_is_allowed(tmp_path: Path) -> None:
    code, document = explain(write_config(tmp_path), "anonymous", MERGE)
    assert (code, document["Decision"], document["Policy"]) == (0, "allow", None)
    assert document["PrincipalTagKeys"] == ["*"]


@pytest.mark.parametrize(
    ("operation", "pool", "option"), [("Delete", POOL_ID, "--operation"), (GET, "eu-west-1:ff", "--pool")]
)
def test_invalid_options_of_explain_are_named(operation: str, pool: str, option: str, config: Path) -> None:
    words = ("--caller", CHECKOUT, "--operation", operation, "--pool", pool)
    ended = run("policy", "explain", "--config", str(config), *words)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"Invalid value for {option}" in ended.stderr.replace("'", "")


def test_explain_matches_the_servers_decision(tmp_path: Path) -> None:
    config = write_config(tmp_path, f'[policy.all]\ncallers = ["anonymous"]\npools = ["*"]\noperations = ["{GET}"]')
    assert [explain(config, "anonymous", each)[0] for each in (GET, LOOKUP)] == [0, 1]


def test_a_configuration_that_is_wrong_is_not_explained(tmp_path: Path) -> None:
    config = write_config(tmp_path, POLICY.replace("600", "0"), KEYED)
    ended = run("policy", "explain", "--config", str(config), "--caller", "x", "--operation", GET, "--pool", POOL_ID)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("configuration: policy.shop.max_token_duration_seconds: ")


EXPOSED = {"TOKEND_GRPC_LISTEN": "0.0.0.0:0", "TOKEND_LOG_LEVEL": "error"}


def test_serve_rejects_a_reachable_address_without_tls_and_authentication(tmp_path: Path) -> None:
    ended = run("serve", "--config", str(write_config(tmp_path)), **EXPOSED)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "configuration: grpc: others can reach 0.0.0.0:0: configure TLS (tls_certificate_file, tls_private_key_file), "
        "an authenticator (identify_by), a policy ([policy.NAME]), "
        "listen on a loopback address or a unix socket, or write insecure = true\n"
    )
    assert not (tmp_path / "tokend.db").exists()


def test_serve_rejects_bearer_keys_without_tls(tmp_path: Path) -> None:
    ended = run("serve", "--config", str(write_config(tmp_path, POLICY, KEYED)), **EXPOSED)
    assert ended.returncode == 1
    assert "configure TLS (tls_certificate_file, tls_private_key_file), listen on" in ended.stderr


def test_serve_takes_an_address_that_is_guarded(tmp_path: Path) -> None:
    served = Authority("servers.example.test").server("127.0.0.1")
    (tmp_path / "tls.crt").write_bytes(served.certificate)
    (tmp_path / "tls.key").write_bytes(served.private_key)
    tls = f'tls_certificate_file = "{tmp_path}/tls.crt"\ntls_private_key_file = "{tmp_path}/tls.key"\n'
    config = write_config(tmp_path, POLICY, tls + KEYED)
    with ServerProcess(config, {"TOKEND_GRPC_LISTEN": "0.0.0.0:0"}) as server:
        assert server.endpoint.startswith("0.0.0.0:")
        warnings = [record["message"] for record in server.log if record["level"] not in {"INFO", "DEBUG"}]
    assert [message.partition(":")[0] for message in warnings] == ["keys.encryption"]


def test_an_insecure_address_is_served_with_a_warning(tmp_path: Path) -> None:
    config = write_config(tmp_path, grpc="insecure = true")
    with ServerProcess(config, {"TOKEND_GRPC_LISTEN": "0.0.0.0:0"}) as server:
        server.stop()
    _in_clear, warning = [record for record in server.log if record["level"] == "WARNING"]
    assert warning["message"].startswith("insecure = true: ")


def test_check_config_names_every_problem_about_callers_on_a_line_of_its_own(tmp_path: Path) -> None:
    config = write_config(
        tmp_path,
        f"""
[policy.shop]
callers = ["**"]
pools = ["{OTHER_POOL}"]
operations = ["*"]
[policy.batch]
callers = ["**"]
pools = ["eu-west-1:0c"]
operations = ["*"]
""",
        'identify_by = ["jwt", "bearer_key"]',
    )
    ended = run("check-config", "--config", str(config), TOKEND_GRPC_LISTEN="0.0.0.0:1,10.0.0.1:2,127.0.0.1:3")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert [line.split(", listen on")[0] for line in ended.stderr.splitlines()] == [
        "configuration: grpc.identify_by: jwt needs an issuer, as [callers.jwt.NAME]",
        "configuration: grpc.identify_by: bearer_key needs a key in [callers.keys]",
        "configuration: grpc: others can reach 0.0.0.0:1: configure TLS (tls_certificate_file, tls_private_key_file)",
        "configuration: grpc: others can reach 10.0.0.1:2: configure TLS (tls_certificate_file, tls_private_key_file)",
        f"configuration: policy.shop.pools: no such pool: {OTHER_POOL}",
        "configuration: policy.batch.pools: no such pool: eu-west-1:0c",
    ]


def test_check_config_repeats_no_key(tmp_path: Path) -> None:
    config = write_config(tmp_path, POLICY.replace(keys.digest(KEY), KEY.reveal()), KEYED)
    ended = run("check-config", "--config", str(config))
    assert ended.returncode == 1
    assert "configuration: callers.keys.checkout.0: must be the digest of a key" in ended.stderr
    assert KEY.reveal() not in ended.stderr


@pytest.fixture
def audited(tmp_path: Path) -> Iterator[tuple[ServerProcess, Path]]:
    log = tmp_path / "audit.log"
    with ServerProcess(write_config(tmp_path, f'[audit]\ndestination = "file:{log}"\nrequired = true')) as server:
        yield server, log


def operations_in(log: Path) -> list[str]:
    """Returns the finished operations; those that change something have an earlier line with their intent."""
    events = [json.loads(line) for line in log.read_text(encoding="ascii").splitlines()]
    return [event["eventName"] for event in events if event["additionalEventData"].get("phase") != "intent"]


def warnings_in(server: ServerProcess) -> list[str]:
    return [record["message"] for record in server.log if record["level"] not in {"INFO", "DEBUG"}]


def test_an_audit_log_that_was_renamed_is_reopened_on_sighup(audited: tuple[ServerProcess, Path]) -> None:
    server, log = audited
    with closing(Caller(server)) as caller:
        caller.get_token("alice")
        rotated = log.rename(log.with_suffix(".1"))
        os.kill(server.pid, signal.SIGHUP)
        until_exists(log)
        caller.get_token("alice")
        caller.get_token("alice")
    assert operations_in(rotated) == [GET]
    assert operations_in(log) == [GET, GET]
    assert log.stat().st_mode & 0o777 == 0o640


def test_a_sighup_without_a_reason_changes_nothing(audited: tuple[ServerProcess, Path]) -> None:
    server, log = audited
    warned_at_start = warnings_in(server)
    with closing(Caller(server)) as caller:
        for _ in range(3):
            os.kill(server.pid, signal.SIGHUP)
            caller.get_token("alice")
    assert operations_in(log) == [GET] * 3
    assert server.stop() == 0
    assert warnings_in(server) == warned_at_start


def test_an_audit_log_that_cannot_be_reopened_is_kept_and_logged(audited: tuple[ServerProcess, Path]) -> None:
    server, log = audited
    with closing(Caller(server)) as caller:
        rotated = log.rename(log.with_suffix(".1"))
        log.mkdir()
        os.kill(server.pid, signal.SIGHUP)
        while not (logged := [each for each in server.log if each["message"] == "the audit log cannot be reopened"]):
            time.sleep(0.01)
        log.rmdir()
        os.kill(server.pid, signal.SIGHUP)
        until_exists(log)
        caller.get_token("alice")
    assert operations_in(rotated) == []
    assert operations_in(log) == [GET]
    (record,) = logged
    assert record["error"] == f"{log}: Is a directory"
    assert "exc_info" not in record  # it is no defect


def test_tls_files_that_are_cut_off_do_not_end_the_server_on_sighup(tmp_path: Path) -> None:
    served = Authority("servers.example.test").server("127.0.0.1")
    certificate = tmp_path / "tls.crt"
    certificate.write_bytes(served.certificate)
    (tmp_path / "tls.key").write_bytes(served.private_key)
    tls = f'tls_certificate_file = "{certificate}"\ntls_private_key_file = "{tmp_path}/tls.key"'
    with ServerProcess(write_config(tmp_path, grpc=tls)) as server:
        certificate.write_bytes(b"")
        os.kill(server.pid, signal.SIGHUP)
        while not any(record["level"] == "ERROR" for record in server.log):
            time.sleep(0.01)
        assert server.stop() == 0
