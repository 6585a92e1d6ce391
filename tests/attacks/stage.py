"""A server with authenticated callers. One of them attacks it while another makes calls."""

import json
import os
import secrets
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, TypedDict

import grpc
import httpx
from tests.attacks.flood import BEGUN
from tests.support.authority import Authority, Identification
from tests.support.grpc_service import TIMEOUT
from tests.support.metric_samples import named_like, total
from tests.support.preloaded import ForkedProcess, fork
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, ServerProcess, write_config

from tokend.v1.developer_identity_service_pb2 import GetOpenIdTokenForDeveloperIdentityRequest
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub
from tokend_client.channel import service_config
from tokend_server.callers.keys import digest, new_key

ROOT = Path(__file__).parents[2]

INNOCENT = "spiffe://acme.internal/ns/shop/sa/innocent"
ATTACKER = "spiffe://acme.internal/ns/shop/sa/attacker"

#: The timeout of a call, in seconds.
DEADLINE = 5.0

#: Seconds between two calls of the innocent caller.
INTERVAL = 0.02

#: The key of the innocent caller, if callers have keys.
_KEY = new_key(secrets.token_bytes)

_KEYS = f"""
[callers.keys]
innocent = ["{digest(_KEY)}"]
"""

_POLICY = """
[policy.shop]
callers = ["spiffe://acme.internal/ns/shop/sa/*", "key:innocent"]
pools = ["*"]
operations = ["GetOpenIdTokenForDeveloperIdentity"]
"""


class Tally(TypedDict):
    """The result of an attack; see `tests.attacks.flood.Tally`."""

    sent_bytes: int
    connected: int
    refused: int
    ended: int
    received: dict[str, int]


@dataclass(frozen=True)
class Size:
    """The resource usage of a server.

    Attributes:
        resident_mebibytes: Memory.
        threads: Threads.
        descriptors: Files, sockets among them.
    """

    resident_mebibytes: float
    threads: int
    descriptors: int

    @classmethod
    def of(cls, pid: int) -> "Size":
        """Returns the usage of a process (proc_pid_status(5))."""
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        status = dict(line.split(":", 1) for line in lines)
        return cls(
            resident_mebibytes=int(status["VmRSS"].split()[0]) / 1024,
            threads=int(status["Threads"]),
            descriptors=sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
        )


@dataclass
class Observed:
    """The results of the innocent caller.

    Attributes:
        calls: How many calls it made.
        failures: The status codes of failed calls, with their texts.
        sizes: The server's resource usage at each call.
    """

    calls: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    sizes: list[Size] = field(default_factory=list)

    @property
    def most_resident_mebibytes(self) -> float:
        return max(size.resident_mebibytes for size in self.sizes)

    @property
    def most_threads(self) -> int:
        return max(size.threads for size in self.sizes)

    @property
    def most_descriptors(self) -> int:
        return max(size.descriptors for size in self.sizes)


def request(user: str) -> GetOpenIdTokenForDeveloperIdentityRequest:
    return GetOpenIdTokenForDeveloperIdentityRequest(identity_pool_id=POOL_ID, logins={DEVELOPER_PROVIDER: user})


@dataclass(frozen=True)
class Stage:
    """The running server, and the credentials of its callers.

    Attributes:
        server: The server.
        directory: The directory of its callers' files.
        innocent: The certificate of the innocent caller; None if it has a key, and the attacker has no credentials.
    """

    server: ServerProcess
    directory: Path
    innocent: Identification | None = field(repr=False)

    def channel(self, *, retries: bool = False) -> grpc.Channel:
        """Returns a connection of the innocent caller; with `retries`, it retries like the Python client."""
        authority = (self.directory / "servers.crt").read_bytes()
        if self.innocent:
            credentials = grpc.ssl_channel_credentials(authority, self.innocent.private_key, self.innocent.certificate)
        else:
            credentials = grpc.composite_channel_credentials(
                grpc.ssl_channel_credentials(authority), grpc.access_token_call_credentials(_KEY.reveal())
            )
        return grpc.secure_channel(
            self.server.endpoint,
            credentials,
            [
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.enable_http_proxy", 0),
                ("grpc.enable_retries", int(retries)),
                ("grpc.service_config", service_config() if retries else "{}"),
            ],
        )

    @contextmanager
    def attacked(
        self,
        name: str,
        seconds: float,
        *,
        connections: int | None = None,
        unauthenticated: bool = False,
        idle: bool = False,
    ) -> Iterator["Attack"]:
        """Runs an attack for this long. The block starts as soon as the attack has a connection.

        Args:
            name: The attack.
            seconds: Its duration.
            connections: Its number of connections, instead of the default.
            unauthenticated: Whether the attacker has no certificate.
            idle: Whether it runs with idle priority.
        """
        arguments = [
            name,
            f"--address={self.server.endpoint}",
            f"--seconds={seconds}",
            f"--request={self.directory / 'request'}",
            f"--ca={self.directory / 'servers.crt'}",
            *([] if unauthenticated or not self.innocent else [f"--identification={self.directory / 'attacker.pem'}"]),
            *([f"--connections={connections}"] if connections else []),
            *(["--idle"] if idle else []),
        ]
        reader, writer = os.pipe()
        output = os.fdopen(reader, "rb")
        try:
            attack = Attack(fork("tests.attacks", arguments, os.environ, ROOT, stdout=writer), output)
        finally:
            os.close(writer)
        try:
            attack.wait_for_connection()
            yield attack
        finally:
            attack.end()

    def series(self) -> set[tuple[str, ...]]:
        """Returns the names and labels of the metrics about calls."""
        return {
            (sample.name, *sorted(f"{label}={value}" for label, value in sample.labels.items()))
            for sample in named_like(self._metrics(), "grpc_server")
        }

    def answered(self, code: str) -> float:
        """How many calls have been answered with a code so far."""
        return total(self._metrics(), "grpc_server_handled_total", grpc_code=code)

    def ended_connections(self) -> float:
        """How many connections the server has ended so far."""
        return total(self._metrics(), "tokend_connections_ended_total")

    def _metrics(self) -> str:
        url = f"{self.server.ops}/metrics"
        return httpx.get(url, trust_env=False, verify=False, timeout=TIMEOUT).raise_for_status().text


@dataclass(frozen=True)
class Attack:
    """A running attack, and its standard output."""

    process: ForkedProcess
    output: BinaryIO

    def is_over(self, within: float) -> bool:
        """Waits this many seconds for its end, and returns whether it has ended."""
        try:
            self.process.wait(within)
        except subprocess.TimeoutExpired:
            return False
        return True

    def wait_for_connection(self) -> None:
        """Waits until it has a connection, or has failed."""
        assert self._first is not None

    def stop(self) -> None:
        """Ends it early, with its tally."""
        self.process.send_signal(signal.SIGTERM)

    def end(self) -> None:
        """Kills it, if it is running."""
        self.process.kill()
        assert self._output is not None

    @cached_property
    def tally(self) -> Tally:
        """Returns its result, when it has ended."""
        tally: Tally = json.loads(self._output)
        return tally

    @cached_property
    def _first(self) -> bytes:
        """Reads the line about the first connection; without a connection, the tally."""
        return self.output.readline()

    @cached_property
    def _output(self) -> bytes:
        with self.output:
            return self._first.removeprefix(f"{BEGUN}\n".encode()) + self.output.read()


@contextmanager
def stage(
    directory: Path, grpc_settings: str = "", extra: str = "", *, open_to_unauthenticated: bool = False
) -> Iterator[Stage]:
    """A server with TLS; the settings are TOML of its [grpc] table, and more tables.

    Args:
        directory: For its files.
        grpc_settings: TOML of its [grpc] table.
        extra: TOML of other tables.
        open_to_unauthenticated: Whether any client may connect, and callers have keys rather than certificates.
    """
    servers, clients = Authority("servers"), Authority("clients")
    server, attacker = servers.server("127.0.0.1"), clients.client(uris=[ATTACKER])
    files = {
        "servers.crt": servers.certificate,
        "clients.crt": clients.certificate,
        "server.crt": server.certificate,
        "server.key": server.private_key,
        "attacker.pem": attacker.certificate + attacker.private_key,
        "request": request("attacker").SerializeToString(),
    }
    for name, content in files.items():
        (directory / name).write_bytes(content)
    tls = f"""
tls_certificate_file = "{directory / "server.crt"}"
tls_private_key_file = "{directory / "server.key"}"
"""
    if open_to_unauthenticated:
        ways, innocent = 'identify_by = ["bearer_key"]\n', None
    else:
        ways = f'tls_client_ca_file = "{directory / "clients.crt"}"\nidentify_by = ["mutual_tls"]\n'
        innocent = clients.client(uris=[INNOCENT])
    config = write_config(directory, extra=_KEYS + _POLICY + extra, grpc=tls + ways + grpc_settings)
    with ServerProcess(config, module="tests.support.observable_server") as process:
        yield Stage(process, directory, innocent)


class InnocentCaller:
    """Makes sequential calls on one connection."""

    def __init__(self, on: Stage, channel: grpc.Channel) -> None:
        self._stage = on
        self._stub = DeveloperIdentityServiceStub(channel)

    def call(self) -> str | None:
        """Makes a call; returns how it failed, if it did."""
        try:
            self._stub.GetOpenIdTokenForDeveloperIdentity(request("innocent"), timeout=DEADLINE)
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
        return None

    def call_during(self, attack: Attack, enough: int | None = None) -> Observed:
        """Makes calls until an attack ends. This many calls end it early."""
        observed = Observed()
        while not attack.is_over(within=INTERVAL):
            if observed.calls == enough:
                attack.stop()
            observed.calls += 1
            if failure := self.call():
                observed.failures[failure] += 1
            observed.sizes.append(Size.of(self._stage.server.pid))
        return observed
