"""Mixed calls of Cognito's own API at fixed rates, alternating with a low rate: `python -m tests.bench.aws_calls`.

Calls are started by the clock, even if earlier ones are still running; no two concurrent calls share a connection. A
latency counts from the time the call was due. Requests are signed before their round begins.
"""

import argparse
import asyncio
import gc
import itertools
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.bench.machine import describe

from tokend_client.testing import CognitoIdentityServer

RESULTS = Path(__file__).with_name("AWS.md")

USERS = 200
QUIET, LOADED = 20, (100, 200, 300)
WARM_UP_SECONDS = 2

TOKEN = "GetOpenIdTokenForDeveloperIdentity"

#: How many of twenty calls are of each kind.
MIX = {
    "token of a known user": 7,
    "look up": 4,
    "describe": 3,
    "list": 1,
    "credentials": 2,
    "register": 1,
    "merge": 1,
    "unlink": 1,
}


class Requests:
    """Signed requests to a service with known users.

    Args:
        server: The service.
    """

    def __init__(self, server: CognitoIdentityServer) -> None:
        self._server = server
        self._url = server.client_arguments["endpoint_url"]
        self._client = boto3.client("cognito-identity", **server.client_arguments)
        self._numbers = itertools.count()
        self._known = [self._register(f"known-{number}") for number in range(USERS)]

    def prepared(self, count: int) -> list[bytes]:
        """Returns this many requests, of all kinds in turn."""
        kinds = [kind for kind, share in MIX.items() for _ in range(share)]
        # Neighbours are of different kinds: 7 is prime to the length of the cycle.
        return [self._request(kinds[7 * number % len(kinds)], number) for number in range(count)]

    def _register(self, user: str) -> Mapping[str, str]:
        issued: Mapping[str, str] = self._client.get_open_id_token_for_developer_identity(
            IdentityPoolId=self._server.identity_pool_id, Logins=self._logins(user), TokenDuration=86_400
        )
        return issued

    def _request(self, kind: str, number: int) -> bytes:
        pool = {"IdentityPoolId": self._server.identity_pool_id}
        known = self._known[number % USERS]
        identity = {"IdentityId": known["IdentityId"]}
        login = {"cognito-identity.amazonaws.com": known["Token"]}
        fixed: Mapping[str, tuple[str, Mapping[str, Any]]] = {
            "token of a known user": (TOKEN, {**pool, "Logins": self._logins(f"known-{number % USERS}")}),
            "look up": ("LookupDeveloperIdentity", {**pool, **identity}),
            "describe": ("DescribeIdentity", identity),
            "list": ("ListIdentities", {**pool, "MaxResults": 20}),
            "credentials": ("GetCredentialsForIdentity", {**identity, "Logins": login}),
        }
        return self._signed(*(fixed.get(kind) or self._change(kind, pool)))

    def _change(self, kind: str, pool: Mapping[str, str]) -> tuple[str, Mapping[str, Any]]:
        """Returns the operation and the members of a call that changes data, for users that no other call has."""
        source, destination = (f"new-{next(self._numbers)}" for _ in range(2))
        if kind == "register":
            return TOKEN, {**pool, "Logins": self._logins(source)}
        provider = {"DeveloperProviderName": self._server.developer_provider_name}
        moved = self._register(source)["IdentityId"]
        if kind == "unlink":
            user = {"IdentityId": moved, "DeveloperUserIdentifier": source}
            return "UnlinkDeveloperIdentity", {**pool, **provider, **user}
        self._register(destination)
        users = {"SourceUserIdentifier": source, "DestinationUserIdentifier": destination}
        return "MergeDeveloperIdentities", {**pool, **provider, **users}

    def _logins(self, user: str) -> Mapping[str, str]:
        return {self._server.developer_provider_name: user}

    def _signed(self, operation: str, members: Mapping[str, Any]) -> bytes:
        arguments = self._server.client_arguments
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"AWSCognitoIdentityService.{operation}",
        }
        body = json.dumps(members).encode()
        request = AWSRequest("POST", f"{self._url}/", headers=headers, data=body)
        credentials = Credentials(arguments["aws_access_key_id"], arguments["aws_secret_access_key"])
        SigV4Auth(credentials, "cognito-identity", arguments["region_name"]).add_auth(request)
        sent = {**request.headers, "Host": urlsplit(self._url).netloc, "Content-Length": str(len(body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        return f"POST / HTTP/1.1\r\n{head}\r\n".encode() + body


class Connections:
    """Open connections, which are reused.

    Args:
        url: The URL of the service.
    """

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def call(self, request: bytes) -> bool:
        """Makes a call, and returns whether it was accepted: neither rejected, nor dropped above the connection limit.

        Raises:
            RuntimeError: It failed.
        """
        reader, writer = self._idle.pop() if self._idle else await self._opened()
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length:")[2].partition("\r\n")[0])
            body = await reader.readexactly(length)
        except (ConnectionResetError, asyncio.IncompleteReadError):
            writer.close()
            return False
        self._idle.append((reader, writer))
        if b"TooManyRequestsException" in body:
            return False
        if not head.startswith("http/1.1 200"):
            raise RuntimeError(body.decode())
        return True

    async def _opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._address.hostname, self._address.port)

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


async def latencies(connections: Connections, requests: Sequence[bytes], rate: float) -> list[float | None]:
    """Returns the milliseconds of each call at this rate; None for a call that was not accepted."""
    begin = time.perf_counter() + 0.1

    async def one(number: int, request: bytes) -> float | None:
        due = begin + number / rate
        await asyncio.sleep(due - time.perf_counter())
        let_in = await connections.call(request)
        return 1000 * (time.perf_counter() - due) if let_in else None

    return list(await asyncio.gather(*(one(number, request) for number, request in enumerate(requests))))


def measure(server: CognitoIdentityServer, rounds: int, seconds: int) -> Mapping[int, list[float | None]]:
    """Measures the latencies by rate, over all rounds."""
    requests = Requests(server)
    found: dict[int, list[float | None]] = {rate: [] for rate in (QUIET, *LOADED)}

    def sample(rate: int, duration: int) -> list[float | None]:
        prepared = requests.prepared(rate * duration)

        async def run() -> list[float | None]:
            connections = Connections(server.client_arguments["endpoint_url"])
            gc.disable()  # a collection here would delay the calls that are due meanwhile
            try:
                return await latencies(connections, prepared, rate)
            finally:
                gc.enable()
                connections.close()

        return asyncio.run(run())

    sample(QUIET, WARM_UP_SECONDS)
    for _ in range(rounds):
        for rate in found:
            found[rate] += sample(rate, seconds)
    return found


def table(found: Mapping[int, Sequence[float | None]]) -> Iterator[str]:
    """Formats all calls of a rate as one row of a Markdown table, with p99 relative to that of the quiet service."""
    yield "| calls/s | calls | refused | p50, ms | p99, ms | p99 to that at 20 |"
    yield "|---:|---:|---:|---:|---:|---:|"
    quiet = 0.0
    for rate, calls in found.items():
        answered = [each for each in calls if each is not None]
        cuts = quantiles(answered, n=100)
        quiet = quiet or cuts[98]
        refused = len(calls) - len(answered)
        yield f"| {rate} | {len(calls):,} | {refused:,} | {cuts[49]:.1f} | {cuts[98]:.1f} | {cuts[98] / quiet:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=20)
    arguments = parser.parse_args()
    with TemporaryDirectory() as directory, CognitoIdentityServer() as server:
        found = measure(server, arguments.rounds, arguments.seconds)
        machine = describe(Path(directory))
    mix = ", ".join(f"{kind} {share}" for kind, share in MIX.items())
    head = (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: `tokend quickstart --aws` with its store on SQLite and RS512, the "
        f"load beside it; rounds: {arguments.rounds}, of {arguments.seconds} s for each rate, in turns; no call failed "
        "but those that were refused, or dropped with their connections, since there were too many. "
        f"Of twenty calls: {mix}. {machine}"
    )
    RESULTS.write_text("\n".join([head, "", *table(found), ""]), encoding="utf-8")
    sys.stdout.write(RESULTS.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
