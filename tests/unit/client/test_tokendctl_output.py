"""The output of tokendctl: formats, queries, standard streams."""

import json
import os
import subprocess
import sysconfig
from pathlib import Path

import pytest
from tests.fakes.developer_identity_server import FakeDeveloperIdentityService
from tests.unit.client.tokendctl_lines import GET, IDENTITY, LOOKUP, MERGE, POOL, run

from tokend.v1 import developer_identity_service_pb2 as contract


def test_a_skeleton_is_printed_without_a_call() -> None:
    result = run(LOOKUP, "--generate-cli-skeleton", endpoint="unix:/nowhere")
    assert result.stdout == (
        '{\n    "IdentityPoolId": "",\n    "IdentityId": "",\n    "DeveloperUserIdentifier": "",\n'
        '    "MaxResults": 0,\n    "NextToken": ""\n}\n'
    )
    assert result.exit_code == 0


def test_the_installed_command_prints_utf_8_in_any_locale(service: FakeDeveloperIdentityService) -> None:
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
    assert (done.stderr, done.returncode) == ("cannot write the output: No space left on device\n", 255)


@pytest.mark.parametrize(
    ("words", "shell", "expected"),
    [
        ("--help", "> /dev/full", "No space left on device"),
        (f"{LOOKUP} --help", "> /dev/full", "No space left on device"),
        (f"{LOOKUP} --generate-cli-skeleton", ">&-", "standard output is closed"),
    ],
)
def test_help_that_cannot_be_written_is_reported(words: str, shell: str, expected: str) -> None:
    command = Path(sysconfig.get_path("scripts")) / "tokendctl"
    done = subprocess.run(
        ["/bin/sh", "-c", f'"$0" "$@" {shell}', command, *words.split()], stderr=subprocess.PIPE, text=True, check=False
    )
    assert (done.stderr, done.returncode) == (f"cannot write the output: {expected}\n", 255)


def test_debug_logs_have_no_secrets(service: FakeDeveloperIdentityService) -> None:
    service.answer(contract.GetOpenIdTokenForDeveloperIdentityResponse(identity_id=IDENTITY, token="s3cret"))
    line = (GET, "--identity-pool-id", POOL, "--logins", "a=s3cret", "--query", "IdentityId", "--debug")
    result = run(*line, endpoint=service.endpoint)
    assert f"calling GetOpenIdTokenForDeveloperIdentity at {service.endpoint}" in result.stderr
    assert "the members identity_pool_id, logins" in result.stderr
    assert "s3cret" not in result.stderr + result.stdout
    assert run(*line[:-1], endpoint=service.endpoint).stderr == ""


def test_a_query_that_fails_repeats_no_token(service: FakeDeveloperIdentityService) -> None:
    service.answer(contract.GetOpenIdTokenForDeveloperIdentityResponse(identity_id=IDENTITY, token="s3cret"))
    line = (GET, "--identity-pool-id", POOL, "--logins", "a=b", "--query")
    failed = run(*line, "abs(Token)", endpoint=service.endpoint)
    assert (failed.stdout, failed.stderr, failed.exit_code) == (
        "",
        "--query: abs() does not take a value of type string\n",
        255,
    )
    assert run(*line, "nonsense(Token)", endpoint=service.endpoint).exit_code == 255


@pytest.mark.parametrize("output", ["json", "text", "table", "yaml", "yaml-stream"])
@pytest.mark.parametrize(
    "query",
    [
        "merge(@, Token)",
        "contains(Token, `1`)",
        "ceil(to_number('nan'))",
        "DeveloperUserIdentifierList[::0] || values(@)[::0]",
        "not_null(Nothing, &Token)",
        "to_array(&Token)",
        "to_number('1e999')",
        '[Token, `"\\ud800"`]',
    ],
)
def test_a_query_with_an_unusable_result_is_reported_in_one_line(
    query: str, output: str, service: FakeDeveloperIdentityService
) -> None:
    service.answer(contract.GetOpenIdTokenForDeveloperIdentityResponse(identity_id=IDENTITY, token="s3cret"))
    line = (GET, "--identity-pool-id", POOL, "--logins", "a=b", "--output", output, "--query", query)
    failed = run(*line, endpoint=service.endpoint)
    assert (failed.stdout, failed.stderr, failed.exit_code) == (
        "",
        "--query: it cannot be applied to the output, or the result is not JSON\n",
        255,
    )


@pytest.mark.parametrize("query", [f"{'(' * 1000}@{')' * 1000}", f"`{'[' * 100_000}`"], ids=["brackets", "literal"])
def test_a_query_that_is_nested_deeply_is_wrong_usage(query: str) -> None:
    result = run(LOOKUP, "--identity-pool-id", POOL, "--query", query)
    assert (result.stderr.splitlines()[1], result.exit_code) == ("  --query: nested too deeply", 252)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--output", "yaml"], f"DeveloperUserIdentifierList:\n- Ålice\n- 'yes: no'\nIdentityId: {IDENTITY}\n"),
        (["--output", "yaml", "--query", "DeveloperUserIdentifierList[1]"], '"yes: no"\n'),
        (["--output", "yaml-stream", "--query", "{id: IdentityId}"], f"- id: {IDENTITY}\n"),
    ],
)
def test_yaml_is_that_of_version_2_of_the_aws_cli(
    words: list[str], expected: str, service: FakeDeveloperIdentityService
) -> None:
    service.answer(
        contract.LookupDeveloperIdentityResponse(
            identity_id=IDENTITY, developer_user_identifier_list=["Ålice", "yes: no"]
        )
    )
    assert run(LOOKUP, "--identity-pool-id", POOL, *words, endpoint=service.endpoint).stdout == expected


def test_the_format_may_come_from_the_environment(service: FakeDeveloperIdentityService) -> None:
    result = run(LOOKUP, "--identity-pool-id", POOL, endpoint=service.endpoint, AWS_DEFAULT_OUTPUT="yaml")
    assert result.stdout == "DeveloperUserIdentifierList: []\nIdentityId: ''\n"


def test_a_yaml_skeleton_is_accepted_as_input(service: FakeDeveloperIdentityService) -> None:
    skeleton = run(LOOKUP, "--generate-cli-skeleton", "yaml-input").stdout
    assert skeleton.startswith('IdentityPoolId: ""  # [REQUIRED] The identity pool, as REGION:GUID.\n')
    filled = skeleton.replace('""', "x").replace(" 0 ", " 5 ")
    assert run(LOOKUP, "--cli-input-yaml", filled, endpoint=service.endpoint).exit_code == 0
    assert service.requests == [
        contract.LookupDeveloperIdentityRequest(
            identity_pool_id="x", identity_id="x", developer_user_identifier="x", max_results=5, next_token="x"
        )
    ]


def test_secrets_can_be_read_from_standard_input(service: FakeDeveloperIdentityService) -> None:
    command = [str(Path(sysconfig.get_path("scripts")) / "tokendctl"), LOOKUP, "--identity-pool-id", POOL]
    command += ["--developer-user-identifier", "file:///dev/stdin", "--endpoint", service.endpoint]
    assert subprocess.run(command, input=b"alice", check=False, stdout=subprocess.PIPE).returncode == 0
    assert service.requests == [
        contract.LookupDeveloperIdentityRequest(identity_pool_id=POOL, developer_user_identifier="alice")
    ]
