"""The operations of tokendctl, and its error messages: over real gRPC, against a fake service."""

import json

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo
from tests.fakes.developer_identity_server import FakeDeveloperIdentityService
from tests.unit.client.tokendctl_lines import GET, IDENTITY, LOOKUP, MERGE, POOL, UNLINK, run

from tokend.v1 import developer_identity_service_pb2 as contract

BARE_REFUSAL = (
    "An error occurred (NOT_FOUND) when calling the LookupDeveloperIdentity operation: IdentityPool not found.\n"
    "  reason: NOT_FOUND\n"
)


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


def test_an_error_has_code_reason_text_and_details(service: FakeDeveloperIdentityService) -> None:
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


def test_an_error_without_details_has_code_and_text(service: FakeDeveloperIdentityService) -> None:
    service.fail(grpc.StatusCode.NOT_FOUND, "IdentityPool not found.")
    result = run(LOOKUP, "--identity-pool-id", POOL, endpoint=service.endpoint)
    assert (result.stderr, result.exit_code) == (BARE_REFUSAL, 254)


def test_damaged_details_do_not_hide_the_refusal(service: FakeDeveloperIdentityService) -> None:
    service.fail_with_damaged_details(grpc.StatusCode.NOT_FOUND, "IdentityPool not found.")
    result = run(LOOKUP, "--identity-pool-id", POOL, endpoint=service.endpoint)
    assert (result.stderr, result.exit_code) == (BARE_REFUSAL, 254)
