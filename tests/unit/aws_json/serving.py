"""The AWS API on a port, with a scripted engine, and its responses to raw bytes."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPResponse

from tests.fakes.clock import FakeClock
from tests.fakes.scripted_engine import ScriptedEngine
from tests.support.grpc_service import POOL_ID, TIMEOUT
from tests.unit.aws_json.requests import KEY_ID, SECRET_KEY, call, no_sts, presigned, service

from tokend_server.aws_json.application import AwsJsonApplication
from tokend_server.aws_json.sigv4 import SignatureVerifier
from tokend_server.model import Secret
from tokend_server.web.listener import BoundAddress, HttpListener

#: Bytes of the largest body.
MAX_BODY_BYTES = 4096

REQUEST = call(
    "GetOpenIdTokenForDeveloperIdentity", {"IdentityPoolId": POOL_ID, "Logins": {"login.example.test": "alice"}}
)

#: The same with its signature in the query; it was signed at the same time.
PRESIGNED = presigned(REQUEST.body, {name: REQUEST.header(name) for name in ("Content-Type", "X-Amz-Target")})


@contextmanager
def serving(  # noqa: PLR0913 - its bounds
    engine: ScriptedEngine,
    max_body_bytes: int = MAX_BODY_BYTES,
    *,
    max_calls: int = 100,
    on_refusal: Callable[[], object] = lambda: None,
    threads: Executor | None = None,
    now: float = REQUEST.signed_at,
) -> Iterator[str]:
    """Serves the API on a separate port with a stopped clock; yields its HOST:PORT."""
    clock = FakeClock(now=now)
    api = service({POOL_ID: engine}, SignatureVerifier({KEY_ID: Secret(SECRET_KEY)}, clock), clock)
    with closing(BoundAddress("test", "127.0.0.1:0")) as bound, ThreadPoolExecutor(4) as own:
        application = AwsJsonApplication(
            api,
            no_sts(clock),
            threads or own,
            max_calls=max_calls,
            on_refusal=on_refusal,
            max_body_bytes=max_body_bytes,
        )
        listener = HttpListener(bound, application).start()
        yield bound.address
        listener.stop()


def send_raw(address: str, request: str | bytes) -> HTTPResponse:
    """Returns the response to some bytes."""
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT) as connection:
        connection.sendall(request.encode() if isinstance(request, str) else request)
        response = HTTPResponse(connection)
        response.begin()
        return response
