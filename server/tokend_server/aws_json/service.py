"""AWSCognitoIdentityService: from a request on the wire to its response, whatever transport carries them."""

import uuid
from collections.abc import Mapping

from tokend_server.aws_json.document import parse_document
from tokend_server.aws_json.errors import AwsError, internal_error, to_aws_error
from tokend_server.aws_json.operations import OPERATIONS, AwsOperation, Output
from tokend_server.aws_json.sigv4 import SignatureVerifier
from tokend_server.aws_json.wire import CONTENT_TYPE, AwsResponse, Headers, error_response, folded, success_response
from tokend_server.clock import Clock, Deadline
from tokend_server.engine import Engine
from tokend_server.errors import ResourceNotFound, TokendError
from tokend_server.failures import log_defect, log_failure

#: What stands before the operation's name in `X-Amz-Target`, with a dot between them.
_SERVICE = "AWSCognitoIdentityService"


class AwsJsonService:
    """Routes requests, checks who signed them, finds the engine of their pool, and speaks AWS JSON on its behalf.

    Args:
        engines: The engines by identity pool id; a pool that is not here does not exist.
        verifier: Who may call.
        clock: What engines measure time with; AWS clients tell no deadline.
    """

    def __init__(self, engines: Mapping[str, Engine], verifier: SignatureVerifier, clock: Clock) -> None:
        self._engines = engines
        self._verifier = verifier
        self._deadline = Deadline(clock)

    def answer(self, method: str, target: str, headers: Headers, body: bytes) -> AwsResponse:
        """Answers a request; what goes wrong is an answer too.

        Args:
            method: The HTTP method.
            target: The path with its query, as it arrived.
            headers: All headers, as they arrived.
            body: The body.
        """
        request_id = str(uuid.uuid4())
        values = folded(headers)
        name = values.get("x-amz-target", "").rpartition(".")[2]
        try:
            operation = _operation(method, target, values)
            return success_response(self._perform(operation, method, headers, body), request_id)
        except AwsError as error:
            failure = error
        except TokendError as error:
            log_failure(name, error)
            failure = to_aws_error(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller learns no more than that
            log_defect(name, error, request_id)
            failure = internal_error()
        return error_response(failure, request_id)

    def _perform(self, operation: AwsOperation, method: str, headers: Headers, body: bytes) -> Output:
        self._verifier.verify(method, headers, body)
        request = operation.read(parse_document(body))
        engine = self._engines.get(request.identity_pool_id)
        if engine is None:
            raise ResourceNotFound.identity_pool(request.identity_pool_id)
        return operation.perform(engine, request, self._deadline)


def _operation(method: str, target: str, values: Mapping[str, str]) -> AwsOperation:
    """The operation that a request is for.

    Raises:
        AwsError: UnknownOperationException.
    """
    media_type = values.get("content-type", "").partition(";")[0].rstrip().lower()
    if (method, target, media_type) != ("POST", "/", CONTENT_TYPE):
        raise AwsError("UnknownOperationException", f"Requests are a POST of {CONTENT_TYPE} to /.", 404)
    prefix, name = values.get("x-amz-target", "").rpartition(".")[::2]
    if prefix != _SERVICE or name not in OPERATIONS:
        raise AwsError("UnknownOperationException", "There is no such operation.")
    return OPERATIONS[name]
