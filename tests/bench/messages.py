"""The messages of the benchmark: the same call to every server, in the format of each."""

import json
import struct

from tokend.v1.developer_identity_service_pb2 import (
    DESCRIPTOR,
    GetOpenIdTokenForDeveloperIdentityRequest,
    GetOpenIdTokenForDeveloperIdentityResponse,
)

SERVICE = DESCRIPTOR.services_by_name["DeveloperIdentityService"].full_name
METHOD = "GetOpenIdTokenForDeveloperIdentity"
PROVIDER = "login.example.internal"

#: The placeholder that the load generator replaces by the user's number, with the same number of digits.
PLACEHOLDER = "##########"

GRPC_HEADERS = {"content-type": "application/grpc", "te": "trailers", "grpc-timeout": "10S"}


def user(number: int | None = None) -> str:
    """Returns the developer user identifier of the user with a number, or the template of all."""
    digits = PLACEHOLDER if number is None else f"{number:0{len(PLACEHOLDER)}}"
    return f"employee-{digits}"


def grpc_request(identity_pool_id: str, user_identifier: str) -> GetOpenIdTokenForDeveloperIdentityRequest:
    return GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=identity_pool_id, logins={PROVIDER: user_identifier}
    )


def grpc_body(identity_pool_id: str) -> bytes:
    """Returns the body template of a gRPC call."""
    return length_prefixed(grpc_request(identity_pool_id, user()).SerializeToString())


def length_prefixed(message: bytes) -> bytes:
    """Returns a message as in a gRPC body, uncompressed (gRPC over HTTP/2, "Length-Prefixed-Message")."""
    return struct.pack(">BI", 0, len(message)) + message


def signing_input(answer: bytes) -> bytes:
    """Returns the JWS signing input (RFC 7515, section 5.1) of the token in a serialized response."""
    token = GetOpenIdTokenForDeveloperIdentityResponse.FromString(answer).token
    return token.rpartition(".")[0].encode()


def aws_headers(operation: str) -> dict[str, str]:
    """Returns the headers of an AWS JSON 1.1 call; moto reads service and region from the credential's scope."""
    scope = "test/20260101/us-east-1/cognito-identity/aws4_request"
    return {
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": f"AWSCognitoIdentityService.{operation}",
        "authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
    }


def aws_body(identity_pool_id: str) -> bytes:
    """Returns the body template of the same call in AWS JSON 1.1."""
    return json.dumps({"IdentityPoolId": identity_pool_id, "Logins": {PROVIDER: user()}}).encode()
