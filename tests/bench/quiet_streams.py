"""The cost of thousands of quiet streams: `python -m tests.bench.quiet_streams [--streams N]`.

A client opens streams, a few on each connection like Envoy, sends a message on each, receives the response, and keeps
the stream open. The table has the resources of the server's process, and the time of another response on all streams at
once. tokend responds to Envoy's messages with a secret, the same on all streams; the bare servers do nothing else.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
from tests.bench import stream_floor
from tests.bench.machine import describe
from tests.bench.processes import Cores, accepts_connections, cpu_seconds, running, wait_until
from tests.bench.serve_secrets import serving_secrets
from tests.support.ports import free_port

from tokend_server.mesh.protos import EnvoyProtos
from tokend_server.mesh.sds_messages import SERVICE

#: As many secrets as a sidecar has: its token, that of a second destination, and the keys.
STREAMS_OF_CONNECTION = 3

#: Seconds for which the streams are left alone.
QUIET_SECONDS = 5.0

#: Streams that are opened at once.
OPENING = 50

MESSAGE = bytes(300)
PATH = f"/{stream_floor.SERVICE}/{stream_floor.METHOD}"


@dataclass(frozen=True)
class Usage:
    """The usage of a process: threads, resident memory in bytes, CPU time in seconds."""

    threads: int
    memory: int
    cpu: float

    @classmethod
    def of(cls, pid: int) -> "Usage":
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        return cls(int(lines["Threads"]), int(lines["VmRSS"].split()[0]) * 1024, cpu_seconds(pid))


@dataclass(frozen=True)
class Sample:
    """The cost of one server's streams."""

    streams: int
    idle: Usage
    opened: Usage
    quiet: Usage
    answered: Usage
    seconds: float

    @property
    def row(self) -> str:
        memory = (self.opened.memory - self.idle.memory) / self.streams / 1024
        opening = (self.opened.cpu - self.idle.cpu) / self.streams * 1000
        quiet = (self.quiet.cpu - self.opened.cpu) / QUIET_SECONDS * 100
        again = (self.answered.cpu - self.quiet.cpu) / self.streams * 1000
        return (
            f"{self.streams:,} | {self.opened.threads - self.idle.threads:,} | {memory:,.0f} | {opening:.2f} | "
            f"{quiet:.1f} % | {again:.2f} | {self.seconds:.1f}"
        )


@dataclass(frozen=True)
class Target:
    """A running server.

    Attributes:
        pid: Its process.
        address: The address that it serves streams on.
        path: The method.
        message: The message of each stream, sent at first and once more.
    """

    pid: int
    address: str
    path: str
    message: bytes


HEAD = (
    "| server | streams | threads for them | memory, KiB each | CPU to open, ms each | CPU while quiet | "
    "CPU to answer again, ms each | all answered in, s |\n|---|---:|---:|---:|---:|---:|---:|---:|"
)


class Stream:
    """A stream whose message was answered.

    Args:
        channel: Its connection.
        path: Its method.
        message: Its message.
    """

    def __init__(self, channel: grpc.aio.Channel, path: str, message: bytes) -> None:
        self._call: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(path)()
        self._message = message

    async def ask(self) -> bytes:
        with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):  # reported below, with the reason
            await self._call.write(self._message)
            answer = await self._call.read()
            if isinstance(answer, bytes):
                return answer
        raise RuntimeError(f"the stream has ended: {await self._call.code()} {await self._call.details()}")


@asynccontextmanager
async def opened(address: str, streams: int, path: str, message: bytes) -> AsyncIterator[Sequence[Stream]]:
    """Opens this many streams, with one response on each."""
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
    async with AsyncExitStack() as stack:
        count = -(-streams // STREAMS_OF_CONNECTION)
        channels = [await stack.enter_async_context(grpc.aio.insecure_channel(address, options)) for _ in range(count)]
        made: list[Stream] = []
        while len(made) < streams:
            batch = range(len(made), min(streams, len(made) + OPENING))
            begun = [Stream(channels[index // STREAMS_OF_CONNECTION], path, message) for index in batch]
            await asyncio.gather(*(stream.ask() for stream in begun))
            made += begun
        yield made


async def measure(target: Target, streams: int) -> Sample:
    idle = Usage.of(target.pid)
    async with opened(target.address, streams, target.path, target.message) as made:
        at_first = Usage.of(target.pid)
        await asyncio.sleep(QUIET_SECONDS)
        quiet = Usage.of(target.pid)
        begin = time.monotonic()
        await asyncio.gather(*(stream.ask() for stream in made))
        return Sample(streams, idle, at_first, quiet, Usage.of(target.pid), time.monotonic() - begin)


@contextmanager
def tokend(directory: Path, cores: Cores, streams: int) -> Iterator[Target]:
    """A tokend with a secret, whose streams subscribe once more for a second response."""
    listener = f"max_streams = {streams}\nmax_connections = {streams}"
    with serving_secrets(directory, cores, listener=listener, secret='user = "user"', rest="") as (pid, address):
        yield Target(pid, address, f"/{SERVICE}/DeltaSecrets", _subscription("token"))


def _subscription(name: str) -> bytes:
    request = EnvoyProtos().message("envoy.service.discovery.v3.DeltaDiscoveryRequest")
    serialized: bytes = request(resource_names_subscribe=[name], node={"id": "n" * 300}).SerializeToString()
    return serialized


@contextmanager
def bare(directory: Path, cores: Cores, streams: int, kind: str) -> Iterator[Target]:
    """A bare server for this many streams."""
    port = free_port()
    log = directory / f"{kind}.log"
    command = [sys.executable, "-m", "tests.bench.stream_floor", kind, str(port), str(streams)]
    with running(command, cores, log) as process:
        wait_until(lambda: accepts_connections(port), process, log)
        yield Target(process.pid, f"127.0.0.1:{port}", PATH, MESSAGE)


#: The measured figures, by their names in the table.
SERVERS: Mapping[str, Callable[[Path, Cores, int], AbstractContextManager[Target]]] = {
    "threads": partial(bare, kind="threads"),
    "asyncio": partial(bare, kind="asyncio"),
    "tokend": tokend,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[1000, 3000])
    parser.add_argument("--kinds", nargs="+", choices=SERVERS, default=list(SERVERS))
    arguments = parser.parse_args()
    cores = Cores.available()
    with TemporaryDirectory() as name:
        directory = Path(name)
        print(f"{datetime.now(UTC):%Y-%m-%d}. {describe(directory)}\n\n{HEAD}")  # noqa: T201 - its result
        for streams in arguments.streams:
            for kind in arguments.kinds:
                place = directory / f"{kind} {streams}"
                place.mkdir()
                with SERVERS[kind](place, cores, streams) as target:
                    sample = asyncio.run(measure(target, streams))
                print(f"| {kind} | {sample.row} |", flush=True)  # noqa: T201 - as above


if __name__ == "__main__":
    main()
