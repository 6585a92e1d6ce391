"""What thousands of quiet streams cost a server: `python -m tests.bench.quiet_streams [--streams N]`.

A client opens streams, a few on each connection as Envoys do, sends a message on each, gets its answer, and keeps it
open. The table has what the server's process took for them, and how it answers once more on all of them at once.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
from tests.bench import stream_floor
from tests.bench.machine import describe
from tests.bench.processes import Cores, accepts_connections, cpu_seconds, free_port, running, wait_until

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
    """What a process has: threads, resident memory in bytes, CPU time in seconds."""

    threads: int
    memory: int
    cpu: float

    @classmethod
    def of(cls, pid: int) -> "Usage":
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        return cls(int(lines["Threads"]), int(lines["VmRSS"].split()[0]) * 1024, cpu_seconds(pid))


@dataclass(frozen=True)
class Sample:
    """What the streams of one server cost."""

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


HEAD = (
    "| server | streams | threads for them | memory, KiB each | CPU to open, ms each | CPU while quiet | "
    "CPU to answer again, ms each | all answered in, s |\n|---|---:|---:|---:|---:|---:|---:|---:|"
)


class Stream:
    """A stream whose message was answered.

    Args:
        channel: Its connection.
        path: Its method.
        message: What it says.
    """

    def __init__(self, channel: grpc.aio.Channel, path: str, message: bytes) -> None:
        self._call: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(path)()
        self._message = message

    async def ask(self) -> bytes:
        with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):  # told below, with the reason
            await self._call.write(self._message)
            answer = await self._call.read()
            if isinstance(answer, bytes):
                return answer
        raise RuntimeError(f"the stream has ended: {await self._call.code()} {await self._call.details()}")


@asynccontextmanager
async def opened(address: str, streams: int, path: str, message: bytes) -> AsyncIterator[Sequence[Stream]]:
    """So many streams, answered once each."""
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


async def measure(pid: int, address: str, streams: int, path: str = PATH, message: bytes = MESSAGE) -> Sample:
    idle = Usage.of(pid)
    async with opened(address, streams, path, message) as made:
        at_first = Usage.of(pid)
        await asyncio.sleep(QUIET_SECONDS)
        quiet = Usage.of(pid)
        begin = time.monotonic()
        await asyncio.gather(*(stream.ask() for stream in made))
        return Sample(streams, idle, at_first, quiet, Usage.of(pid), time.monotonic() - begin)


@contextmanager
def bare(directory: Path, cores: Cores, kind: str, streams: int) -> Iterator[tuple[int, str]]:
    """The process id and the address of a bare server that can take so many streams."""
    port = free_port()
    log = directory / f"{kind}.log"
    command = [sys.executable, "-m", "tests.bench.stream_floor", kind, str(port), str(streams)]
    with running(command, cores, log) as process:
        wait_until(lambda: accepts_connections(port), process, log)
        yield process.pid, f"127.0.0.1:{port}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[1000, 3000])
    parser.add_argument("--kinds", nargs="+", choices=stream_floor.KINDS, default=list(stream_floor.KINDS))
    arguments = parser.parse_args()
    cores = Cores.available()
    with TemporaryDirectory() as name:
        directory = Path(name)
        print(f"{datetime.now(UTC):%Y-%m-%d}. {describe(directory)}\n\n{HEAD}")  # noqa: T201 - its result
        for streams in arguments.streams:
            for kind in arguments.kinds:
                with bare(directory, cores, kind, streams) as (pid, address):
                    sample = asyncio.run(measure(pid, address, streams))
                print(f"| bare, {kind} | {sample.row} |", flush=True)  # noqa: T201 - as above


if __name__ == "__main__":
    main()
