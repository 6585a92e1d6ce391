"""The layer that identifies callers by their signatures."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from tokend_server.aws_json.errors import AwsError, unauthenticated
from tokend_server.aws_json.request import AwsRequest
from tokend_server.aws_json.sigv4 import SignatureVerifier
from tokend_server.callers.names import name_by_address
from tokend_server.model import CognitoOperation, StsOperation
from tokend_server.rpc.call import current_call
from tokend_server.rpc.interceptors.layers import Behavior, Layer, Method

#: The authenticator of these callers in the audit log.
AUTHENTICATOR = "aws_signature"

#: The operations whose requests are not signed.
UNSIGNED_OPERATIONS = frozenset({*StsOperation, *(each for each in CognitoOperation if not each.is_signed)})


def identifying_signers(verifier: SignatureVerifier, caller_of: Callable[[str], str]) -> Layer:
    """Returns a layer that identifies callers by signature, or by address for unsigned operations.

    Args:
        verifier: Checks signatures.
        caller_of: Returns the caller to whom an access key belongs.
    """

    def layer(method: Method, behavior: Behavior) -> Behavior:
        if method.name in UNSIGNED_OPERATIONS:
            return _identifying_addresses(behavior)

        @wraps(behavior)
        def identified(request: AwsRequest, context: None) -> Any:  # noqa: ANN401 - the operation's result
            try:
                credential = verifier.verify(request.method, request.query, request.values, request.body)
            except AwsError as refusal:
                raise unauthenticated(refusal) from None
            call = current_call()
            call.authenticator, call.caller = AUTHENTICATOR, caller_of(credential.access_key_id)
            call.region = credential.region
            return behavior(request, context)

        return identified

    return layer


def _identifying_addresses(behavior: Behavior) -> Behavior:
    @wraps(behavior)
    def identified(request: AwsRequest, context: None) -> Any:  # noqa: ANN401 - the operation's result
        current_call().caller = name_by_address(request.peer)
        return behavior(request, context)

    return identified
