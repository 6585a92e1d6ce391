"""moto's HTTP server, as `python -m moto.server` runs it, with an identity pool."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from tests.bench.generator import Call
from tests.bench.messages import METHOD, PROVIDER, aws_body, aws_headers
from tests.bench.processes import Cores, accepts_connections, running, wait_until
from tests.support.ports import free_port


@contextmanager
def serving(directory: Path, cores: Cores) -> Iterator[tuple[int, Call]]:
    """Serves, and yields the process id and moto's form of the call."""
    port = free_port()
    log = directory / "moto.log"
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with running(command, cores, log) as process:
        wait_until(lambda: accepts_connections(port), process, log)
        url = f"http://127.0.0.1:{port}/"
        body = aws_body(create_pool(url))
        yield process.pid, Call(url, aws_headers(METHOD), body, answer_bytes(url, body), grpc=False)


def answer_bytes(url: str, body: bytes) -> int:
    """Returns the size of a response with a token: moto also returns 200 to calls that it routes to S3."""
    answer = post(url, METHOD, body)
    if not json.loads(answer)["Token"]:
        raise RuntimeError("moto gave no token")
    return len(answer)


def create_pool(url: str) -> str:
    pool = {
        "IdentityPoolName": "bench",
        "AllowUnauthenticatedIdentities": False,
        "DeveloperProviderName": PROVIDER,
    }
    identity_pool_id: str = json.loads(post(url, "CreateIdentityPool", json.dumps(pool).encode()))["IdentityPoolId"]
    return identity_pool_id


def post(url: str, operation: str, body: bytes) -> bytes:
    response = httpx.post(url, headers=aws_headers(operation), content=body, timeout=30, trust_env=False)
    return response.raise_for_status().content
