"""All operations of AWS's model of the service: the supported ones, and those that no caller may call."""

from collections.abc import Mapping
from typing import Any

import pytest
from tests.fakes.clock import FakeClock
from tests.support.grpc_service import POOL_ID
from tests.unit.aws_json.requests import KEY_ID, SECRET_KEY, Signed, as_sent, call, error_of
from tests.unit.aws_json.shapes_of_aws import in_awss_model
from tests.unit.aws_json.test_operations import SERVICE

from tokend_server.access.authorization import Policy
from tokend_server.aws_json.build import KNOWN
from tokend_server.aws_json.calls import Calls
from tokend_server.aws_json.credentials import GET_CREDENTIALS
from tokend_server.aws_json.identities import IdentityOperations
from tokend_server.aws_json.operations import OPERATIONS
from tokend_server.aws_json.pool_management import ManagementOperations
from tokend_server.aws_json.pools import PoolOperations
from tokend_server.aws_json.public import PublicOperations
from tokend_server.aws_json.refusals import refused_operations
from tokend_server.aws_json.service import AwsJsonService
from tokend_server.aws_json.shaped import ShapedOperation
from tokend_server.aws_json.signers import identifying_signers
from tokend_server.aws_json.sigv4 import SignatureVerifier
from tokend_server.aws_json.wire import AwsResponse
from tokend_server.model import ANONYMOUS, CognitoOperation, Operation, Secret
from tokend_server.rpc.developer_identity import DeveloperIdentityService

#: The objects that perform the operations; here none is performed.
ANY: Any = None

#: The operations that need `aws.manage_pools`, and all that are served, by name.
MANAGED: Mapping[str, ShapedOperation] = {row.name: row for row, _ in ManagementOperations(ANY, ANY, ANY).operations}
OTHERS = (IdentityOperations(ANY, ANY, ANY), PoolOperations(ANY, ANY), PublicOperations(ANY, ANY, ANY))
SERVED: Mapping[str, ShapedOperation] = {
    **OPERATIONS,
    **{row.name: row for each in OTHERS for row, _ in each.operations},
    **MANAGED,
    GET_CREDENTIALS.name: GET_CREDENTIALS,
}

#: The operations that no caller may call unless pools are managed. The operations that are served only if configured.
OPTIONAL = {*MANAGED, CognitoOperation.GET_CREDENTIALS_FOR_IDENTITY}

REFUSED = {row.name: (row, refuse) for row, refuse in refused_operations(SERVED.keys() - OPTIONAL)}
IDENTITY_ID = f"{POOL_ID[:-1]}f"


def test_every_operation_of_awss_model_is_known() -> None:
    assert sorted(KNOWN) == SERVICE.operation_names
    assert (len(KNOWN), {*SERVED, *REFUSED}) == (23, set(KNOWN))
    assert {*SERVED} & {*REFUSED} == OPTIONAL


@pytest.mark.parametrize("operation", SERVED)
def test_members_are_those_of_awss_model(operation: str) -> None:
    shape = SERVICE.operation_model(operation).input_shape
    row = SERVED[operation]
    assert row.members == {name: in_awss_model(member) for name, member in shape.members.items()}
    assert row.required == set(shape.required_members)


@pytest.mark.parametrize("operation", CognitoOperation)
def test_operations_without_a_signature_are_those_of_awss_model(operation: CognitoOperation) -> None:
    assert operation.is_signed == (SERVICE.operation_model(operation).auth_type != "none")


@pytest.mark.parametrize("operation", [*Operation, *CognitoOperation])
def test_read_only_operations_have_read_only_names(operation: Operation | CognitoOperation) -> None:
    is_lookup = operation.startswith(("Describe", "List", "Lookup"))
    assert operation.is_read_only == (
        is_lookup or operation.endswith(("GetIdentityPoolRoles", "GetPrincipalTagAttributeMap"))
    )


def answer(request: Signed) -> AwsResponse:
    clock = FakeClock(now=request.signed_at)
    verifier = SignatureVerifier({KEY_ID: Secret(SECRET_KEY)}, clock)
    service = AwsJsonService(
        DeveloperIdentityService({}, Policy((), ()), clock),
        [identifying_signers(verifier, lambda _access_key_id: ANONYMOUS)],
        others=[*REFUSED.values()],
        account_of={POOL_ID: "111122223333"}.__getitem__,
    )
    return Calls(service, clock).answer(as_sent(request))


@pytest.mark.parametrize("operation", [name for name in REFUSED if CognitoOperation(name).is_signed])
def test_operations_that_are_not_served_are_denied(operation: str) -> None:
    user = f"User: {ANONYMOUS} is not authorized to perform: cognito-identity:{operation} on resource:"
    why = "because: This service does not have the operation."
    arn = f"arn:aws:cognito-identity:us-east-1:111122223333:identitypool/{POOL_ID}"
    assert error_of(answer(call(operation, {}))) == (400, "AccessDeniedException", f"{user} * {why}")
    status, code, text = error_of(answer(call(operation, {"IdentityPoolId": POOL_ID})))
    assert (status, code, text) == (400, "AccessDeniedException", f"{user} {arn} {why}")


@pytest.mark.parametrize("operation", REFUSED)
def test_a_signature_is_required_only_for_signed_operations(operation: str) -> None:
    code = error_of(answer(call(operation, {}).without_header("Authorization")))[1]
    assert code == (
        "MissingAuthenticationTokenException" if CognitoOperation(operation).is_signed else "NotAuthorizedException"
    )


@pytest.mark.parametrize("operation", [name for name in REFUSED if not CognitoOperation(name).is_signed])
@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"IdentityPoolId": POOL_ID}, "Unauthenticated access is not supported for this identity pool."),
        ({"IdentityId": IDENTITY_ID}, f"Access to Identity '{IDENTITY_ID}' is forbidden."),
    ],
)
def test_unsupported_device_operations_are_refused_with_the_text_of_cognito(
    operation: str, members: Mapping[str, Any], text: str
) -> None:
    request = call(operation, members).without_header("Authorization")
    assert error_of(answer(request)) == (400, "NotAuthorizedException", text)
