"""The whole command line, over real gRPC, against a fake service."""

import json
import os
import re
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo
from tests.fakes.developer_identity_server import FakeDeveloperIdentityService, serving
from tests.support.tokendctl import Ended, run_tokendctl

from tokend.v1 import developer_identity_service_pb2 as contract
from tokend_client.tokendctl.exit_codes import ExitCode

GET = "get-open-id-token-for-developer-identity"
LOOKUP = "lookup-developer-identity"
MERGE = "merge-developer-identities"
UNLINK = "unlink-developer-identity"
POOL = "us-east-1:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"
IDENTITY = "us-east-1:11111111-2222-4333-8444-555555555555"

BARE_REFUSAL = (
    "An error occurred (NOT_FOUND) when calling the LookupDeveloperIdentity operation: IdentityPool not found.\n"
    "  reason: NOT_FOUND\n"
)


@pytest.fixture
def service() -> Iterator[FakeDeveloperIdentityService]:
    with serving() as fake:
        yield fake


def run(*args: str, endpoint: str | None = None, **environment: str) -> Ended:
    at = ["--endpoint", endpoint] if endpoint is not None else []
    return run_tokendctl([*args, *at], environment)


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
    for duration in ([], ["--token-duration", "1"]):
        run(GET, "--identity-pool-id", POOL, "--logins", "a=b", *duration, endpoint=service.endpoint)
    assert service.requests == [
        contract.GetOpenIdTokenForDeveloperIdentityRequest(
            identity_pool_id=POOL, logins={"a": "b"}, token_duration=duration
        )
        for duration in (None, Duration(seconds=1))
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
    assert (results[2].stdout, results[2].stderr) == ("", "")


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
    result = run(LOOKUP, "--generate-cli-skeleton", endpoint="unix:/nowhere")
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
        "An error occurred (ValidationException) when calling the LookupDeveloperIdentity operation: "
        "2 validation errors detected\n"
        "  reason: INVALID_ARGUMENT VALIDATION_FAILED\n"
        "  identity_pool_id: Member must have length less than 56\n"
        "  logins.key: Member must have length greater than 0\n"
        "  request id: r-1\n"
    )
    assert (result.stdout, result.exit_code) == ("", 254)


def test_a_refusal_without_details_tells_code_and_text(service: FakeDeveloperIdentityService) -> None:
    service.fail(grpc.StatusCode.NOT_FOUND, "IdentityPool not found.")
    result = run(LOOKUP, "--identity-pool-id", POOL, endpoint=service.endpoint)
    assert (result.stderr, result.exit_code) == (BARE_REFUSAL, 254)


def test_damaged_details_do_not_hide_the_refusal(service: FakeDeveloperIdentityService) -> None:
    service.fail_with_damaged_details(grpc.StatusCode.NOT_FOUND, "IdentityPool not found.")
    result = run(LOOKUP, "--identity-pool-id", POOL, endpoint=service.endpoint)
    assert (result.stderr, result.exit_code) == (BARE_REFUSAL, 254)


def test_an_unreachable_service_is_reported_in_a_line(tmp_path: Path) -> None:
    result = run(LOOKUP, "--identity-pool-id", POOL, endpoint=f"unix:{tmp_path}/none")
    assert result.stderr.startswith(f'No answer from the endpoint "unix:{tmp_path}/none": UNAVAILABLE: ')
    assert (result.stderr.count("\n"), result.exit_code) == (1, 255)


def test_the_timeout_is_the_deadline_of_the_call(service: FakeDeveloperIdentityService) -> None:
    for timeout in ([], ["--timeout", "100.5"]):
        run(LOOKUP, "--identity-pool-id", POOL, *timeout, endpoint=service.endpoint)
    # gRPC sends a deadline with two or three digits, rounded up. The first of two attempts has half of the time.
    assert service.times_remaining == [pytest.approx(5, abs=1), pytest.approx(50.25, abs=2)]


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
        *(
            "--endpoint=\udcff",
            "--color=red",
            "--output=xml",
            "--query=[",
            "--region=",
            "--max-results=x",
            "--next-token=\udcff",
        ),
    ],
)
def test_wrong_usage_is_exit_code_252(option: str) -> None:
    result = run(LOOKUP, "--identity-pool-id", POOL, option)
    assert (result.stdout, result.exit_code) == ("", 252)
    assert option.partition("=")[0] in result.stderr


def test_every_problem_is_a_line() -> None:
    options = ("--token-duration", "x", "--output", "xml", "--timeout", "0", "--profile=prod")
    result = run("--nope", GET, "--cli-input-json", '{"Foo": 1}', *options)
    assert result.stderr == (
        "tokendctl: the input cannot be used:\n"
        "  --output: expected one of json, text, table, yaml, yaml-stream\n"
        "  --timeout: expected a number of seconds above 0 and up to 86400\n"
        "  --profile: there are no profiles; say who calls with --bearer-token-file or --client-certificate-file\n"
        "  unknown options: --nope\n"
        "  --cli-input-json: no member is called 'Foo'\n"
        "  --token-duration: expected an integer of 64 bits\n"
        "  the following arguments are required: --identity-pool-id, --logins\n"
        "  See `tokendctl help`, `tokendctl COMMAND help`.\n"
    )
    assert result.exit_code == 252


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
        ["--cli-input-yaml", "Logins: {a: s3cret, a: s3cret}"],
        ["--cli-input-yaml", "Logins: {a: 's3cret}"],
        ["--cli-input-yaml", "Logins: {a: !!bool s3cret}"],
        ["--cli-input-yaml", "Logins: {a: !!int '', b: s3cret}"],
        ["--cli-input-yaml", 'Logins: {a: "\\U90000000s3cret"}'],
        ["--logins", "a=b", "--debug=s3cret"],
        ["--logins", "a=b", "--identity=s3cret"],
        ["--logins", "a=b", "--generate-cli-skeleton=s3cret"],
    ],
)
def test_a_mistyped_login_is_not_repeated(words: list[str]) -> None:
    result = run(GET, "--identity-pool-id", POOL, *words)
    assert result.exit_code == 252
    assert "s3cret" not in result.stdout + result.stderr


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
    assert (done.stderr, done.returncode) == ("cannot write the output: No space left on device\n", 255)


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
    assert (done.stderr, done.returncode) == (f"cannot write the output: {expected}\n", 255)


def test_a_socket_may_be_at_home(tmp_path: Path) -> None:
    with serving(f"unix:{tmp_path}/s") as fake:
        fake.answer(contract.MergeDeveloperIdentitiesResponse(identity_id=IDENTITY))
        users = '{"SourceUserIdentifier": "a", "DestinationUserIdentifier": "b"}'
        words = [MERGE, "--cli-input-json", users, "--developer-provider-name=p", "--identity-pool-id", POOL]
        result = run(*words, endpoint="unix:~/s", HOME=str(tmp_path))
    assert (result.stderr, result.exit_code) == ("", 0)


def test_a_path_that_is_too_long_for_a_socket_is_wrong_usage() -> None:
    result = run(LOOKUP, "--identity-pool-id", POOL, endpoint=f"unix:/{'s' * 107}")
    assert result.exit_code == 252
    assert "the path of a unix socket has 107 bytes at most" in result.stderr


def test_the_environment_may_be_wrong() -> None:
    for name, value in (("TOKEND_ENDPOINT", "http://x"), ("AWS_DEFAULT_OUTPUT", "xml")):
        result = run(LOOKUP, "--identity-pool-id", POOL, **{name: value})
        assert (result.stderr.partition(":")[0], result.exit_code) == (name, 253)


def test_a_url_goes_before_an_endpoint_of_the_environment_that_is_none(
    service: FakeDeveloperIdentityService,
) -> None:
    url = f"http://{service.endpoint}"
    refused = run(LOOKUP, "--identity-pool-id", POOL, TOKEND_ENDPOINT=url)
    assert refused.stderr == "TOKEND_ENDPOINT: not an address; a URL goes to --endpoint-url\n"
    assert run(LOOKUP, "--identity-pool-id", POOL, "--endpoint-url", url, TOKEND_ENDPOINT=url).exit_code == 0


@pytest.mark.parametrize("content", ["no PEM", None])
def test_so_may_the_files_of_the_connection(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    result = run(LOOKUP, "--identity-pool-id", POOL, "--ca-bundle", str(file))
    assert (result.stderr.partition(":")[0], result.exit_code) == ("--ca-file", 253)


def test_the_region_has_to_be_that_of_the_pool(service: FakeDeveloperIdentityService) -> None:
    line = (LOOKUP, "--identity-pool-id", POOL)
    assert run(*line, "--region", "us-east-1", endpoint=service.endpoint).exit_code == 0
    refused = run(*line, "--region", "eu-west-1", endpoint=service.endpoint)
    assert "  --region: the identity pool is in 'us-east-1'\n" in refused.stderr
    assert refused.exit_code == 252
    assert len(service.requests) == 1


def test_the_endpoint_may_be_a_url(service: FakeDeveloperIdentityService) -> None:
    line = (LOOKUP, "--identity-pool-id", POOL, "--endpoint-url")
    assert run(*line, f"http://{service.endpoint}/", TOKEND_ENDPOINT="127.0.0.1:9").exit_code == 0
    assert run(*line, f"https://{service.endpoint}", "--timeout", "1").exit_code == 255
    for url in (service.endpoint, "http://", "ftp://x", "http://u@x", "http://x/y", "http://x?y", "http://x:y", ""):
        assert run(*line, url).exit_code == 252, url
    assert run(*line, f"http://{service.endpoint}", "--tls").exit_code == 252
    assert run(*line, f"http://{service.endpoint}", endpoint=service.endpoint).exit_code == 252


def test_debug_tells_what_is_done_but_no_secret(service: FakeDeveloperIdentityService) -> None:
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
def test_a_query_that_jmespath_takes_too_easily_fails_in_a_line(
    query: str, output: str, service: FakeDeveloperIdentityService
) -> None:
    service.answer(contract.GetOpenIdTokenForDeveloperIdentityResponse(identity_id=IDENTITY, token="s3cret"))
    line = (GET, "--identity-pool-id", POOL, "--logins", "a=b", "--output", output, "--query", query)
    failed = run(*line, endpoint=service.endpoint)
    assert (failed.stdout, failed.stderr, failed.exit_code) == (
        "",
        "--query: it cannot be applied to the output, or selects what is no JSON\n",
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


def test_a_skeleton_may_be_yaml_and_comes_back_as_input(service: FakeDeveloperIdentityService) -> None:
    skeleton = run(LOOKUP, "--generate-cli-skeleton", "yaml-input").stdout
    assert skeleton.startswith('IdentityPoolId: ""  # [REQUIRED] The identity pool, as REGION:GUID.\n')
    filled = skeleton.replace('""', "x").replace(" 0 ", " 5 ")
    assert run(LOOKUP, "--cli-input-yaml", filled, endpoint=service.endpoint).exit_code == 0
    assert service.requests == [
        contract.LookupDeveloperIdentityRequest(
            identity_pool_id="x", identity_id="x", developer_user_identifier="x", max_results=5, next_token="x"
        )
    ]


def test_secrets_may_come_by_standard_input(service: FakeDeveloperIdentityService) -> None:
    command = [str(Path(sysconfig.get_path("scripts")) / "tokendctl"), LOOKUP, "--identity-pool-id", POOL]
    command += ["--developer-user-identifier", "file:///dev/stdin", "--endpoint", service.endpoint]
    assert subprocess.run(command, input=b"alice", check=False, stdout=subprocess.PIPE).returncode == 0
    assert service.requests == [
        contract.LookupDeveloperIdentityRequest(identity_pool_id=POOL, developer_user_identifier="alice")
    ]


@pytest.mark.parametrize("option", ["--profile", "--no-verify-ssl"])
def test_an_option_that_cannot_be_honoured_says_what_to_use(option: str) -> None:
    result = run(LOOKUP, "--identity-pool-id", POOL, option)
    assert result.exit_code == 252
    assert f"  {option}: " in result.stderr
    assert " with --" in result.stderr
    assert run(option, LOOKUP, "--identity-pool-id", POOL) == result


@pytest.mark.parametrize("words", [["--regoin=us-east-1"], ["--regoin", "us-east-1"], ["--regoin"]])
def test_an_option_that_is_unknown_may_stand_before_the_command(words: list[str]) -> None:
    result = run(*words, LOOKUP, "--identity-pool-id", POOL)
    assert result.stderr == run(LOOKUP, "--identity-pool-id", POOL, *words).stderr
    assert result.stderr.splitlines()[1:-1] == ["  unknown options: --regoin"]
    assert result.exit_code == 252


def test_an_unknown_option_without_a_command_is_named_too() -> None:
    for words in (["--regoin=s3cret"], ["--regoin", "s3cret"], ["--regoin=s3cret", "help"]):
        expected, unknown = run(*words).stderr.splitlines()[1:-1]
        assert expected.startswith("  expected a command: ")
        assert unknown == "  unknown options: --regoin"


def test_the_version_is_one_line() -> None:
    result = run("--version")
    assert re.fullmatch(r"tokendctl/\S+ Python/\S+ grpc/\S+ \S+/\S+\n", result.stdout)
    assert (result.stderr, result.exit_code) == ("", 0)


@pytest.mark.parametrize("words", [["help"], ["--help"]])
def test_help_names_the_commands_and_the_exit_codes(words: list[str]) -> None:
    page = run(*words).stdout
    assert all(command in page for command in (GET, LOOKUP, MERGE, UNLINK))
    assert all(f"    {code:>3}  " in page for code in ExitCode)


def test_help_of_a_command_tells_limits_defaults_syntaxes_output_and_the_warning() -> None:
    page = run(GET, "help").stdout
    assert page == run(GET, "--help").stdout
    for text in (
        "1 to 86400. Default: 900.",
        "KeyName1=string,KeyName2=string",
        '{"KeyName1": "string", "KeyName2": "string"}',
        "lists of processes",
        "their history",
        "file:///dev/stdin",
        "OUTPUT\n    IdentityId\n",
        "Default: TOKEND_ENDPOINT, else",
    ):
        assert text in page


def test_a_line_without_a_command_is_wrong_usage() -> None:
    for words in ([], ["--region", "us-east-1"], ["nonsense"]):
        assert run(*words).exit_code == 252
