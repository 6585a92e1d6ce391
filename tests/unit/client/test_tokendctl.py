"""The whole command line, over real gRPC, against a fake service."""

import json
import os
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner, Result
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo
from tests.fakes.developer_identity_server import FakeDeveloperIdentityService, serving

from tokend.v1 import developer_identity_service_pb2 as contract
from tokend_client.tokendctl.commands import tokendctl

GET = "get-open-id-token-for-developer-identity"
LOOKUP = "lookup-developer-identity"
MERGE = "merge-developer-identities"
UNLINK = "unlink-developer-identity"
POOL = "us-east-1:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"
IDENTITY = "us-east-1:11111111-2222-4333-8444-555555555555"


@pytest.fixture
def service() -> Iterator[FakeDeveloperIdentityService]:
    with serving() as fake:
        yield fake


def run(*args: str, endpoint: str | None = None, **environment: str) -> Result:
    at = ["--endpoint", endpoint] if endpoint is not None else []
    return CliRunner().invoke(tokendctl(), [*args, *at], env=environment, prog_name="tokendctl")


def test_a_token_is_printed_as_by_the_aws_cli(service: FakeDeveloperIdentityService) -> None:
    service.answer(
        contract.GetOpenIdTokenForDeveloperIdentityResponse(
            identity_id=IDENTITY,
            token="ey.ey.x",
            expire_time=Timestamp(seconds=900),
            refresh_time=Timestamp(seconds=450),
        )
    )
    result = run(GET, "--identity-pool-id", POOL, "--logins", "login.example.internal=alice", endpoint=service.endpoint)
    assert result.stdout == f'{{\n    "IdentityId": "{IDENTITY}",\n    "Token": "ey.ey.x"\n}}\n'
    assert (result.stderr, result.exit_code) == ("", 0)


def test_every_option_reaches_the_service(service: FakeDeveloperIdentityService) -> None:
    options = {
        "--identity-pool-id": POOL,
        "--identity-id": IDENTITY,
        "--logins": 'login.example.internal="a,b",accounts.google.com=ey.ey.x==',
        "--principal-tags": '{"team": "röd"}',
        "--token-duration": "86400",
    }
    result = run(GET, *(word for option in options.items() for word in option), endpoint=service.endpoint)
    assert result.exit_code == 0
    assert service.requests == [
        contract.GetOpenIdTokenForDeveloperIdentityRequest(
            identity_pool_id=POOL,
            identity_id=IDENTITY,
            logins={"login.example.internal": "a,b", "accounts.google.com": "ey.ey.x=="},
            principal_tags={"team": "röd"},
            token_duration=Duration(seconds=86400),
        )
    ]


def test_a_token_duration_is_sent_only_if_given(service: FakeDeveloperIdentityService) -> None:
    for duration in ([], ["--token-duration", "0"], ["--token-duration=-1"]):
        run(GET, "--identity-pool-id", POOL, "--logins", "a=b", *duration, endpoint=service.endpoint)
    assert service.requests == [
        contract.GetOpenIdTokenForDeveloperIdentityRequest(
            identity_pool_id=POOL, logins={"a": "b"}, token_duration=duration
        )
        for duration in (None, Duration(seconds=0), Duration(seconds=-1))
    ]


def test_the_other_operations_reach_the_service(service: FakeDeveloperIdentityService) -> None:
    lookup = {"IdentityPoolId": POOL, "DeveloperUserIdentifier": "alice", "MaxResults": 5, "NextToken": "n"}
    merge = ["--source-user-identifier", "a", "--destination-user-identifier", "b", "--developer-provider-name", "p"]
    unlink = ["--identity-id", IDENTITY, "--developer-provider-name", "p", "--developer-user-identifier", "a"]
    results = [
        run(LOOKUP, "--cli-input-json", json.dumps(lookup), endpoint=service.endpoint),
        run(MERGE, *merge, "--identity-pool-id", POOL, endpoint=service.endpoint),
        run(UNLINK, *unlink, "--identity-pool-id", POOL, endpoint=service.endpoint),
    ]
    assert [result.exit_code for result in results] == [0, 0, 0]
    assert service.requests == [
        contract.LookupDeveloperIdentityRequest(
            identity_pool_id=POOL, developer_user_identifier="alice", max_results=5, next_token="n"
        ),
        contract.MergeDeveloperIdentitiesRequest(
            source_user_identifier="a",
            destination_user_identifier="b",
            developer_provider_name="p",
            identity_pool_id=POOL,
        ),
        contract.UnlinkDeveloperIdentityRequest(
            identity_id=IDENTITY, identity_pool_id=POOL, developer_provider_name="p", developer_user_identifier="a"
        ),
    ]
    assert results[2].output == ""


def test_a_lookup_prints_users_verbatim_and_a_next_token_if_there_is_one(service: FakeDeveloperIdentityService) -> None:
    response = contract.LookupDeveloperIdentityResponse(
        identity_id=IDENTITY, developer_user_identifier_list=["Ålice", '"b"'], next_token="n"
    )
    service.answer(response)
    result = run(LOOKUP, "--identity-pool-id", POOL, endpoint=service.endpoint)
    assert result.stdout == (
        f'{{\n    "IdentityId": "{IDENTITY}",\n    "DeveloperUserIdentifierList": [\n'
        '        "Ålice",\n        "\\"b\\""\n    ],\n    "NextToken": "n"\n}\n'
    )
    response.next_token = ""
    result = run(LOOKUP, "--identity-pool-id", POOL, endpoint=service.endpoint)
    assert list(json.loads(result.stdout)) == ["IdentityId", "DeveloperUserIdentifierList"]


def test_a_merge_prints_the_identity(service: FakeDeveloperIdentityService) -> None:
    service.answer(contract.MergeDeveloperIdentitiesResponse(identity_id=IDENTITY))
    users = '{"SourceUserIdentifier": "a", "DestinationUserIdentifier": "b"}'
    options = ["--developer-provider-name", "p", "--identity-pool-id", POOL]
    result = run(MERGE, "--cli-input-json", users, *options, endpoint=service.endpoint)
    assert json.loads(result.stdout) == {"IdentityId": IDENTITY}


def test_a_skeleton_calls_nothing() -> None:
    result = run(LOOKUP, "--generate-cli-skeleton", "--max-results", "no number", endpoint="unix:/nowhere")
    assert result.stdout == (
        '{\n    "IdentityPoolId": "",\n    "IdentityId": "",\n    "DeveloperUserIdentifier": "",\n'
        '    "MaxResults": 0,\n    "NextToken": ""\n}\n'
    )
    assert result.exit_code == 0


def test_a_refusal_tells_code_reason_text_and_details(service: FakeDeveloperIdentityService) -> None:
    violations = [
        BadRequest.FieldViolation(field="identity_pool_id", description="Member must have length less than 56"),
        BadRequest.FieldViolation(field="logins.key", description="Member must have length greater than 0"),
    ]
    service.fail(
        grpc.StatusCode.INVALID_ARGUMENT,
        "2 validation errors detected",
        RequestInfo(request_id="r-1"),
        BadRequest(field_violations=violations),
        ErrorInfo(reason="VALIDATION_FAILED", domain="tokend"),
    )
    result = run(LOOKUP, "--identity-pool-id", POOL, endpoint=service.endpoint)
    assert result.stderr == (
        "INVALID_ARGUMENT VALIDATION_FAILED: 2 validation errors detected\n"
        "  identity_pool_id: Member must have length less than 56\n"
        "  logins.key: Member must have length greater than 0\n"
        "  request id: r-1\n"
    )
    assert (result.stdout, result.exit_code) == ("", 1)


def test_a_refusal_without_details_tells_code_and_text(service: FakeDeveloperIdentityService) -> None:
    service.fail(grpc.StatusCode.NOT_FOUND, "IdentityPool not found.")
    result = run(LOOKUP, "--identity-pool-id", POOL, endpoint=service.endpoint)
    assert (result.stderr, result.exit_code) == ("NOT_FOUND: IdentityPool not found.\n", 1)


def test_damaged_details_do_not_hide_the_refusal(service: FakeDeveloperIdentityService) -> None:
    service.fail_with_damaged_details(grpc.StatusCode.NOT_FOUND, "IdentityPool not found.")
    result = run(LOOKUP, "--identity-pool-id", POOL, endpoint=service.endpoint)
    assert (result.stderr, result.exit_code) == ("NOT_FOUND: IdentityPool not found.\n", 1)


def test_an_unreachable_service_is_reported_in_a_line(tmp_path: Path) -> None:
    result = run(LOOKUP, "--identity-pool-id", POOL, endpoint=f"unix:{tmp_path}/none")
    assert result.stderr.startswith("UNAVAILABLE: ")
    assert (result.stderr.count("\n"), result.exit_code) == (1, 1)


def test_the_timeout_is_the_deadline_of_the_call(service: FakeDeveloperIdentityService) -> None:
    for timeout in ([], ["--timeout", "100.5"]):
        run(LOOKUP, "--identity-pool-id", POOL, *timeout, endpoint=service.endpoint)
    # gRPC sends a deadline with two or three digits, rounded up.
    assert service.times_remaining == [pytest.approx(10, abs=2), pytest.approx(100.5, abs=2)]


def test_the_endpoint_may_come_from_the_environment(service: FakeDeveloperIdentityService) -> None:
    assert run(LOOKUP, "--identity-pool-id", POOL, TOKEND_ENDPOINT=service.endpoint).exit_code == 0


def test_the_endpoint_may_be_a_unix_socket(tmp_path: Path) -> None:
    with serving(f"unix:{tmp_path}/s") as service:
        result = run(LOOKUP, "--identity-pool-id", POOL, endpoint=service.endpoint, TOKEND_ENDPOINT="unix:/nowhere")
    assert result.exit_code == 0


def test_no_proxy_is_asked(service: FakeDeveloperIdentityService) -> None:
    proxy = {"grpc_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    assert run(LOOKUP, "--identity-pool-id", POOL, endpoint=service.endpoint, **proxy).exit_code == 0


@pytest.mark.parametrize(
    "option",
    [
        *("--timeout=0", "--timeout=-1", "--timeout=nan", "--timeout=inf", "--timeout=x", "--endpoint=", "--foo=1"),
        *("--endpoint=\udcff", "--ca-file=/nowhere", f"--ca-file={__file__}", "--max-results=x", "--next-token=\udcff"),
    ],
)
def test_wrong_usage_is_exit_code_2(option: str) -> None:
    result = run(LOOKUP, "--identity-pool-id", POOL, option)
    assert (result.stdout, result.exit_code) == ("", 2)
    assert "Usage: tokendctl lookup-developer-identity" in result.stderr


def test_every_problem_is_a_line() -> None:
    result = run(GET, "--token-duration", "x", "--cli-input-json", '{"Foo": 1}')
    assert result.stderr.endswith(
        "Error: the input cannot be used:\n"
        "  --cli-input-json: no member is called 'Foo'\n"
        "  --token-duration: expected an integer of 64 bits\n"
        "  required, but not given: --identity-pool-id, --logins\n"
    )
    assert result.exit_code == 2


@pytest.mark.parametrize(
    "words",
    [
        ["--logins", "a=b", "c=s3cret"],
        ["--logins", "a=b,", "c=s3cret"],
        ["--logins", "s3cret"],
        ["--logins", "a=s3cret,b=s3cret's3cret"],
        ["--logins", '{"a": "s3cret'],
        ["--logins", '{"a": ["s3cret"]}'],
        ["--logins", "a=b", "--s3=s3cret"],
        ["--cli-input-json", '{"Logins": {"a": "s3cret",}}'],
    ],
)
def test_a_mistyped_login_is_not_repeated(words: list[str]) -> None:
    result = run(GET, "--identity-pool-id", POOL, *words)
    assert result.exit_code == 2
    assert "s3cret" not in result.output


def test_the_installed_command_speaks_utf_8_in_any_locale(service: FakeDeveloperIdentityService) -> None:
    service.answer(contract.MergeDeveloperIdentitiesResponse(identity_id="Ålice"))
    command = Path(sysconfig.get_path("scripts")) / "tokendctl"
    skeleton = json.dumps(dict.fromkeys(("SourceUserIdentifier", "DestinationUserIdentifier"), "é"))
    done = subprocess.run(
        [command, MERGE, "--cli-input-json", skeleton, "--developer-provider-name=p", "--identity-pool-id", POOL],
        env=os.environ | {"TOKEND_ENDPOINT": service.endpoint, "PYTHONIOENCODING": "latin-1", "LC_ALL": "C"},
        capture_output=True,
        check=False,
    )
    assert (done.stdout.decode(), done.stderr, done.returncode) == ('{\n    "IdentityId": "Ålice"\n}\n', b"", 0)


def test_an_output_that_cannot_be_written_is_reported() -> None:
    command = [str(Path(sysconfig.get_path("scripts")) / "tokendctl"), LOOKUP, "--generate-cli-skeleton"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.stderr, done.returncode) == ("Error: cannot write the output: No space left on device\n", 1)


@pytest.mark.parametrize(
    ("words", "shell", "expected"),
    [
        ("--help", "> /dev/full", "No space left on device"),
        (f"{LOOKUP} --help", "> /dev/full", "No space left on device"),
        (f"{LOOKUP} --generate-cli-skeleton", ">&-", "standard output is closed"),
    ],
)
def test_so_is_any_other_output_that_is_lost(words: str, shell: str, expected: str) -> None:
    command = Path(sysconfig.get_path("scripts")) / "tokendctl"
    done = subprocess.run(
        ["/bin/sh", "-c", f'"$0" "$@" {shell}', command, *words.split()], stderr=subprocess.PIPE, text=True, check=False
    )
    assert (done.stderr, done.returncode) == (f"Error: cannot write the output: {expected}\n", 1)


def test_a_socket_may_be_at_home(tmp_path: Path) -> None:
    with serving(f"unix:{tmp_path}/s") as fake:
        fake.answer(contract.MergeDeveloperIdentitiesResponse(identity_id=IDENTITY))
        users = '{"SourceUserIdentifier": "a", "DestinationUserIdentifier": "b"}'
        words = [MERGE, "--cli-input-json", users, "--developer-provider-name=p", "--identity-pool-id", POOL]
        result = run(*words, endpoint="unix:~/s", HOME=str(tmp_path))
    assert (result.stderr, result.exit_code) == ("", 0)


def test_a_path_that_is_too_long_for_a_socket_is_wrong_usage() -> None:
    result = run(LOOKUP, "--identity-pool-id", POOL, endpoint=f"unix:/{'s' * 107}")
    assert result.exit_code == 2
    assert "the path of a unix socket has 107 bytes at most" in result.stderr
