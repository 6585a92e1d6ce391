"""The responses and the received requests of both endpoints: AWS's JSON over HTTP, and tokend's gRPC."""

import json
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from tests.fakes.developer_identity_server import FakeDeveloperIdentityService, served

from tokend.v1 import developer_identity_service_pb2 as contract
from tokend_client.tokendctl.failure import EXCEPTIONS

#: The members of a request, under AWS's names.
Members = dict[str, Any]

_IDENTITY = "us-east-1:11111111-2222-4333-8444-555555555555"

_ANSWERS: Mapping[str, dict[str, Any]] = MappingProxyType(
    {
        "GetOpenIdTokenForDeveloperIdentity": {"IdentityId": _IDENTITY, "Token": "ey." + 200 * "J" + ".x"},
        "LookupDeveloperIdentity": {
            "IdentityId": _IDENTITY,
            "DeveloperUserIdentifierList": ["alice", "Ålice 東京", '"bob"'],
            "NextToken": "more",
        },
        "MergeDeveloperIdentities": {"IdentityId": _IDENTITY},
        "UnlinkDeveloperIdentity": {},
    }
)


class AwsEndpoint(ThreadingHTTPServer):
    """AWS's protocol for Cognito: JSON 1.1. A pool with the name of an exception fails with it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _AwsHandler)
        #: The requests, by path.
        self.requests: defaultdict[str, list[Members]] = defaultdict(list)


class _AwsHandler(BaseHTTPRequestHandler):
    server: AwsEndpoint

    def do_POST(self) -> None:
        members = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests[self.path.strip("/")].append(members)
        exception = _exception(members["IdentityPoolId"])
        operation = self.headers["X-Amz-Target"].partition(".")[2]
        answer = {"__type": exception, "message": exception} if exception else _ANSWERS[operation]
        # The operation without output has a response without a body.
        body = json.dumps(answer).encode() if answer else b""
        self.send_response(400 if exception else 200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class GrpcEndpoint(FakeDeveloperIdentityService):
    """tokend's protocol, with the same responses."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Members] = []

    def _serve(self, request: Message, context: grpc.ServicerContext, response: Any) -> Any:  # noqa: ANN401
        self.seen.append(_members(request))
        exception = _exception(request.identity_pool_id)  # type: ignore[attr-defined]
        if exception:
            reason = next(reason for reason, name in EXCEPTIONS.items() if name == exception)
            self.fail(grpc.StatusCode.INVALID_ARGUMENT, exception, ErrorInfo(reason=reason, domain="tokend"))
        else:
            self._failure = None
            name = request.DESCRIPTOR.name.removesuffix("Request")
            self.answer(_response(name))
        return super()._serve(request, context, response)


@contextmanager
def aws_endpoint() -> Iterator[AwsEndpoint]:
    """Serves AWS's protocol on a free port of this machine until the block ends."""
    with AwsEndpoint() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def grpc_endpoint() -> Iterator[GrpcEndpoint]:
    """Serves tokend's protocol on a free port of this machine until the block ends."""
    endpoint = GrpcEndpoint()
    with served(endpoint):
        yield endpoint


def _exception(identity_pool_id: str) -> str | None:
    name = identity_pool_id.partition(":")[2]
    return name if name.endswith("Exception") else None


def _response(operation: str) -> Message:
    answer = _ANSWERS[operation]
    fields = {
        "identity_id": answer.get("IdentityId"),
        "token": answer.get("Token"),
        "developer_user_identifier_list": answer.get("DeveloperUserIdentifierList"),
        "next_token": answer.get("NextToken"),
    }
    message: Message = getattr(contract, f"{operation}Response")()
    for name in message.DESCRIPTOR.fields_by_name.keys() & fields.keys():
        if isinstance(fields[name], list):
            getattr(message, name).extend(fields[name])
        else:
            setattr(message, name, fields[name])
    return message


def _members(request: Message) -> Members:
    """Converts a message to AWS's member names, and a duration to AWS's number of seconds."""
    fields = MessageToDict(request)
    members = {name[0].upper() + name[1:]: value for name, value in fields.items()}
    if "TokenDuration" in members:
        members["TokenDuration"] = request.token_duration.seconds  # type: ignore[attr-defined]
    return members
