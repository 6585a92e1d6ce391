"""Errors of Cognito identity pools, faults of servers and proxies, and responses that Cognito never sends, by name."""

import json
from collections.abc import Mapping
from typing import Any

from tests.fakes.cognito_script import Answer, AwsFailure, Body, NoHttp, Step


def _json(**members: Any) -> Body:  # noqa: ANN401 - JSON
    return Body(json.dumps(members).encode())


THROTTLED = AwsFailure("TooManyRequestsException", "Rate exceeded")

#: Every error of Cognito identity pools, and AWS's common errors.
AWS_FAILURES: Mapping[str, AwsFailure] = {
    failure.code: failure
    for failure in (
        AwsFailure("InvalidParameterException", "Please provide a valid public provider"),
        AwsFailure(
            "ValidationException",
            "1 validation error detected: Value 'X' at 'identityPoolId' failed to satisfy constraint: "
            r"Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+",
        ),
        AwsFailure("NotAuthorizedException", "Invalid login token. Couldn't verify signed token."),
        AwsFailure("ResourceNotFoundException", "IdentityPool 'us-east-1:0' not found."),
        AwsFailure("ResourceConflictException"),
        AwsFailure("DeveloperUserAlreadyRegisteredException"),
        THROTTLED,
        AwsFailure("LimitExceededException"),
        AwsFailure("ConcurrentModificationException"),
        AwsFailure("ExternalServiceException"),
        AwsFailure(
            "InvalidIdentityPoolConfigurationException",
            "Invalid identity pool configuration. Check assigned IAM roles for this pool.",
        ),
        AwsFailure("InternalErrorException", "Internal error", 500),
        AwsFailure("UnrecognizedClientException", "The security token included in the request is invalid."),
        AwsFailure("AccessDeniedException", "User is not authorized to perform this action."),
    )
}

_HTML = b"<html><body><h1>Bad Gateway</h1></body></html>"

#: Faults of servers and of proxies in front of them, without and with a body in AWS's format.
SERVER_FAULTS: Mapping[str, Answer] = {
    **{f"{status} without a body": Body(b"", status) for status in (500, 502, 503)},
    **{f"{status} with HTML": Body(_HTML, status, "text/html") for status in (500, 502, 503)},
    **{
        f"{status} of AWS": AwsFailure("InternalErrorException", "Internal error", status) for status in (500, 502, 503)
    },
}

#: Responses that Cognito never sends.
GARBAGE: Mapping[str, Step] = {
    "no HTTP": NoHttp(),
    "no JSON": Body(_HTML),
    "half a JSON": Body(b'{"IdentityId":"us-east-1:0","Tok'),
    "a list": Body(b'["IdentityId","Token"]'),
    "wrong types": _json(IdentityId=1, Token={"a": ["b"]}),
    "no members": _json(),
    "no token": _json(IdentityId="us-east-1:0"),
    "no identity id": _json(Token="a.b.c"),
    "a token that is no JWT": _json(IdentityId="us-east-1:0", Token="no-token"),
    "a token without claims": _json(IdentityId="us-east-1:0", Token="e30.e30.c2ln"),
    "huge": _json(IdentityId="us-east-1:0", Token="a" * (8 << 20)),
}
