"""ListIdentities, DescribeIdentity and DeleteIdentities, with the local engine's own store."""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from tests.support.local_engine import NOW, OTHER_POOL, POOL, LocalEngineUnderTest

from tokend_server.access.authorization import Policy, PolicyRow
from tokend_server.aws_json.admission import Admission
from tokend_server.aws_json.calls import Calls
from tokend_server.aws_json.identities import IdentityOperations
from tokend_server.aws_json.request import AwsRequest
from tokend_server.aws_json.service import AwsJsonService
from tokend_server.clock import Deadline
from tokend_server.engine import Identities
from tokend_server.engines.identities import IdentitiesOfPools
from tokend_server.engines.local.identities import LocalIdentities
from tokend_server.errors import EngineUnavailable
from tokend_server.model import Identity, IdentityPage, ListRequest
from tokend_server.rpc.audit_entry import audit_entry
from tokend_server.rpc.call import current_call
from tokend_server.rpc.developer_identity import DeveloperIdentityService
from tokend_server.rpc.interceptors.layers import Behavior, Method

if TYPE_CHECKING:
    from tokend_server.access.audit.record import AuditEntry

SERVICE = ServiceModel(Loader().load_service_model("cognito-identity", "service-2"))
COGNITO_POOL = "eu-west-1:77777777-2222-3333-4444-555555555555"
REGION = "eu-west-1"


def row(caller: str, pool: str, *operations: str) -> PolicyRow:
    named = frozenset(operations or {"*"})
    return PolicyRow(caller, (caller,), frozenset({pool}), named, timedelta(minutes=15), frozenset())


POLICY = Policy(
    [row("own", POOL), row("other", OTHER_POOL), row("tokens", POOL, "GetId"), row("all", "*")],
    [POOL, OTHER_POOL, COGNITO_POOL],
)


class Api:
    """Cognito's API with a local engine, for authenticated callers.

    Attributes:
        local: The local engine of `POOL`.
        changed: The pools with deletions.
        audited: The audit entry of each successful call.
    """

    def __init__(self, local: LocalEngineUnderTest, identities: Identities) -> None:
        self.local = local
        self.changed: list[str] = []
        self.audited: list[AuditEntry] = []
        self._caller = "all"
        operations = DeveloperIdentityService({}, POLICY, local.clock)
        others = IdentityOperations(identities, Admission(POLICY, local.clock), self.changed.append).operations
        self._calls = Calls(AwsJsonService(operations, [self._naming], others=others), local.clock)

    def _naming(self, _method: Method, behavior: Behavior) -> Behavior:
        def named(request: AwsRequest, context: None) -> object:
            current_call().caller = self._caller
            current_call().region = REGION
            output = behavior(request, context)
            self.audited.append(audit_entry(current_call(), NOW))
            return output

        return named

    def call(self, operation: str, caller: str = "all", /, **members: object) -> dict[str, Any]:
        """Returns the output, or the code and text of the error."""
        self._caller = caller
        values = {
            "content-type": "application/x-amz-json-1.1",
            "x-amz-target": f"AWSCognitoIdentityService.{operation}",
        }
        body = json.dumps(members).encode()
        answered: dict[str, Any] = json.loads(self._calls.answer(AwsRequest("POST", "/", values, body)).body)
        return answered


class Unreliable:
    """Identities with one that cannot be deleted."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities
        self.stuck = ""

    def find(self, identity_id: str, deadline: Deadline) -> Identity | None:
        return self._identities.find(identity_id, deadline)

    def list(self, request: ListRequest, deadline: Deadline) -> IdentityPage:
        return self._identities.list(request, deadline)

    def delete(self, identity: Identity, deadline: Deadline) -> None:
        if identity.identity_id == self.stuck:
            raise EngineUnavailable("The identity store does not answer.")
        self._identities.delete(identity, deadline)


@pytest.fixture
def identities(local: LocalEngineUnderTest) -> Unreliable:
    return Unreliable(IdentitiesOfPools(LocalIdentities(local.store, {POOL, OTHER_POOL}), {COGNITO_POOL}))


@pytest.fixture
def api(local: LocalEngineUnderTest, identities: Unreliable) -> Api:
    return Api(local, identities)


def error(code: str, text: str) -> dict[str, str]:
    return {"__type": code, "message": text}


def not_found(identity_id: str) -> dict[str, str]:
    return error("ResourceNotFoundException", f"Identity '{identity_id}' not found.")


def test_identities_are_listed_in_pages(api: Api) -> None:
    users = sorted(api.local.identity_of(user) for user in ("u1", "u2", "u3"))
    first = api.call("ListIdentities", IdentityPoolId=POOL, MaxResults=2)
    rest = api.call("ListIdentities", IdentityPoolId=POOL, MaxResults=2, NextToken=first["NextToken"])
    assert [each["IdentityId"] for page in (first, rest) for each in page["Identities"]] == users
    assert "NextToken" not in rest
    assert first["IdentityPoolId"] == POOL
    assert first["Identities"][0] == {
        "IdentityId": users[0],
        "Logins": ["login.example.test"],
        "CreationDate": NOW,
        "LastModifiedDate": NOW,
    }


def test_disabled_identities_are_hidden_if_requested(api: Api) -> None:
    left, kept = api.local.identity_of("u1"), api.local.identity_of("u2")
    api.local.merge("u1", "u2")

    def listed(**members: object) -> list[str]:
        page = api.call("ListIdentities", IdentityPoolId=POOL, MaxResults=60, **members)
        return [each["IdentityId"] for each in page["Identities"]]

    assert listed() == listed(HideDisabled=False) == sorted([left, kept])
    assert listed(HideDisabled=True) == [kept]


def test_a_page_token_of_another_listing_is_refused(api: Api) -> None:
    for user in ("u1", "u2"):
        api.local.identity_of(user)
    token = api.call("ListIdentities", IdentityPoolId=POOL, MaxResults=1)["NextToken"]
    refused = error("InvalidParameterException", "NextToken is not one that this operation returned.")
    assert api.call("ListIdentities", IdentityPoolId=OTHER_POOL, MaxResults=1, NextToken=token) == refused


def test_identities_of_unknown_pools_and_cognito_pools_are_not_listed(api: Api) -> None:
    strange = "eu-west-1:00000000-0000-4000-8000-000000000000"
    missing = error("ResourceNotFoundException", f"IdentityPool '{strange}' not found.")
    assert api.call("ListIdentities", IdentityPoolId=strange, MaxResults=1) == missing
    assert api.call("ListIdentities", IdentityPoolId=COGNITO_POOL, MaxResults=1)["__type"] == (
        "UnknownOperationException"
    )


def test_all_problems_of_a_listing_are_named(api: Api) -> None:
    answered = api.call("ListIdentities", IdentityPoolId="eu-west-1:ZZ", MaxResults=61)
    assert answered == error(
        "ValidationException",
        "2 validation errors detected: "
        "Value 'eu-west-1:ZZ' at 'identityPoolId' failed to satisfy constraint: "
        r"Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+; "
        "Value '61' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 60",
    )


def test_an_identity_is_described(api: Api) -> None:
    guest = api.local.guest()
    described = api.call("DescribeIdentity", IdentityId=guest)
    assert described == {"IdentityId": guest, "Logins": [], "CreationDate": NOW, "LastModifiedDate": NOW}
    user = api.local.identity_of({"login.example.test": "u1", "accounts.google.com": "user subject"})
    assert api.call("DescribeIdentity", IdentityId=user)["Logins"] == ["accounts.google.com", "login.example.test"]
    assert api.audited[-1].request.identity_pool_id == POOL
    assert api.audited[-1].policy == "all"


def test_users_of_deleted_identities_get_new_identities(api: Api) -> None:
    first, guest, kept = api.local.identity_of("u1"), api.local.guest(), api.local.identity_of("u2")
    answered = api.call("DeleteIdentities", IdentityIdsToDelete=[first, guest, first])
    assert answered == {"UnprocessedIdentityIds": []}
    assert api.call("DescribeIdentity", IdentityId=first) == not_found(first)
    assert api.local.identity_of("u1") not in {first, guest, kept}
    assert api.local.identity_of("u2") == kept
    assert api.changed == [POOL, POOL]
    deleted = next(entry for entry in api.audited if entry.method == "DeleteIdentities")
    assert deleted.request.identity_ids == (first, guest)


def test_a_deletion_is_repeated_with_the_same_answer(api: Api) -> None:
    user = api.local.identity_of("u1")
    for _ in range(2):
        answered = api.call("DeleteIdentities", IdentityIdsToDelete=[user])
        assert answered == {"UnprocessedIdentityIds": []}


def test_identities_that_cannot_be_deleted_are_returned_as_unprocessed(api: Api, identities: Unreliable) -> None:
    first, stuck, last = (api.local.identity_of(user) for user in ("u1", "u2", "u3"))
    identities.stuck = stuck
    answered = api.call("DeleteIdentities", IdentityIdsToDelete=[first, stuck, last])
    assert answered == {"UnprocessedIdentityIds": [{"IdentityId": stuck, "ErrorCode": "InternalServerError"}]}
    assert [api.local.store.find(each) is None for each in (first, stuck, last)] == [True, False, True]
    assert api.changed == [POOL] * 3
    assert api.audited[-1].result.unprocessed_identity_ids == (stuck,)


@pytest.mark.parametrize(
    ("ids", "shown", "constraint"),
    [
        ([], "'[]'", "Member must have length greater than or equal to 1"),
        (None, "null", "Member must not be null"),
    ],
)
def test_an_empty_or_missing_list_of_identities_to_delete_is_rejected(
    api: Api, ids: list[str] | None, shown: str, constraint: str
) -> None:
    given = {} if ids is None else {"IdentityIdsToDelete": ids}
    violation = f"Value {shown} at 'identityIdsToDelete' failed to satisfy constraint: {constraint}"
    expected = error("ValidationException", f"1 validation error detected: {violation}")
    assert api.call("DeleteIdentities", **given) == expected


def test_a_list_of_too_many_identities_to_delete_is_rejected(api: Api) -> None:
    user = api.local.identity_of("u1")
    ids = [user, *(f"eu-west-1:{number:08x}-aa" for number in range(60))]
    refused = api.call("DeleteIdentities", IdentityIdsToDelete=ids)
    assert refused["__type"] == "ValidationException"
    assert refused["message"].endswith("Member must have length less than or equal to 60")
    assert api.local.store.find(user)


def test_a_malformed_id_prevents_the_deletion_of_all_identities(api: Api) -> None:
    user = api.local.identity_of("u1")
    refused = api.call("DeleteIdentities", IdentityIdsToDelete=[user, "eu-west-1:UPPER"])
    assert refused["message"] == (
        f"1 validation error detected: Value '[{user}, eu-west-1:UPPER]' at 'identityIdsToDelete' failed to satisfy "
        "constraint: Member must satisfy constraint: [Member must have length less than or equal to 55, Member must "
        r"have length greater than or equal to 1, Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+]"
    )
    assert api.local.store.find(user)


@pytest.mark.parametrize("wrong", ["eu-west-1:1", {"a": "b"}, 1, True, [1], [["a"]]])
def test_a_value_that_is_not_a_list_of_strings_is_refused(api: Api, wrong: object) -> None:
    assert api.call("DeleteIdentities", IdentityIdsToDelete=wrong)["__type"] == "SerializationException"


@pytest.mark.parametrize("wrong", ["true", 1, 0, []])
def test_a_value_that_is_not_a_boolean_is_refused(api: Api, wrong: object) -> None:
    answered = api.call("ListIdentities", IdentityPoolId=POOL, MaxResults=1, HideDisabled=wrong)
    assert answered["__type"] == "SerializationException"


def test_an_identity_of_another_callers_pool_is_not_found_and_not_deleted(api: Api) -> None:
    user = api.local.identity_of("u1")
    assert api.call("DescribeIdentity", "own", IdentityId=user)["IdentityId"] == user
    assert api.call("DescribeIdentity", "other", IdentityId=user) == not_found(user)
    assert api.call("DeleteIdentities", "other", IdentityIdsToDelete=[user]) == {
        "UnprocessedIdentityIds": [{"IdentityId": user, "ErrorCode": "AccessDenied"}]
    }
    assert api.local.store.find(user)
    assert api.changed == []
    assert api.call("ListIdentities", "other", IdentityPoolId=POOL, MaxResults=1)["__type"] == "AccessDeniedException"


@pytest.mark.parametrize("caller", ["stranger", "tokens"])
@pytest.mark.parametrize("ask", [
    lambda api, caller, user: api.call("DescribeIdentity", caller, IdentityId=user),
    lambda api, caller, user: api.call("DeleteIdentities", caller, IdentityIdsToDelete=[user]),
])  # fmt: skip
def test_a_caller_without_a_matching_policy_row_is_denied(
    api: Api, caller: str, ask: Callable[[Api, str, str], Mapping[str, Any]]
) -> None:
    user = api.local.identity_of("u1")
    denied = ask(api, caller, user)
    assert denied["__type"] == "AccessDeniedException"
    assert denied["message"].startswith(f"User: {caller} is not authorized to perform: cognito-identity:")
    assert " on resource: * because: " in denied["message"]
    assert api.local.store.find(user)


def test_an_identity_of_another_region_than_the_signatures_is_refused(api: Api) -> None:
    for operation, members in (
        ("DescribeIdentity", {"IdentityId": "us-east-1:00"}),
        ("DeleteIdentities", {"IdentityIdsToDelete": [api.local.identity_of("u1"), "us-east-1:00"]}),
    ):
        assert api.call(operation, **members)["__type"] == "InvalidSignatureException"
    assert api.changed == []
