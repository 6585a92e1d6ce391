"""What it costs to replace thousands of different tokens in time: `python -m tests.bench.renewals [--tokens N]`.

Each stream is of another caller, whose own token it gets, as the Envoys of as many services do. All of them open
within seconds, as after a restart, and wait until each has its next token. The table has the CPU time of the server for
a renewal, how the renewals are spread, and how long before the `refresh_time` of the token before the latest one came.
"""

import argparse
import asyncio
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

import grpc
import jwt
from tests.bench.machine import describe
from tests.bench.processes import Cores, accepts_connections, cpu_seconds, running, wait_until
from tests.mesh.secret_streams import DELTA_RESPONSE, OPTIONS, delta, secrets_of
from tests.support.ports import free_port

from tokend_server.callers.keys import digest, new_key
from tokend_server.mesh.sds_messages import SERVICE
from tokend_server.model import Secret

TOKEN = "token"

#: Streams that are opened at once.
OPENING = 50

_POOL = "local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"

_CONFIG = """
[grpc]
listen = ["127.0.0.1:0"]
[issuer]
listen = "127.0.0.1:0"
[ops]
listen = "127.0.0.1:{ops}"
[store]
url = "sqlite:///{directory}/tokend.db"
[sds]
listen = ["127.0.0.1:{port}"]
identify_by = ["bearer_key"]
max_streams = {streams}
max_connections = {connections}
[sds.tokens.token]
identity_pool_id = "{pool}"
token_duration_seconds = {life}
[policy.everyone]
callers = ["**"]
pools = ["*"]
operations = ["*"]
[pools."{pool}"]
developer_provider_name = "login.example.internal"
signing_algorithm = "{algorithm}"
[callers.keys]
"""

HEAD = (
    "| tokens | algorithm | life, s | CPU to open, ms each | CPU to renew, ms each | renewed within, s | "
    "most in a second | least before refresh_time, s | median before it, s |\n"
    "|---:|---|---:|---:|---:|---:|---:|---:|---:|"
)


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        tokens: How many.
        life: Seconds that each is valid.
        algorithm: What signs them.
    """

    tokens: int
    life: int
    algorithm: str


@dataclass(frozen=True)
class Renewal:
    """A token that replaced another one: when, and how many seconds before the `refresh_time` of the other."""

    at: float
    early: float


class Stream:
    """The stream of one caller."""

    def __init__(self, channel: grpc.aio.Channel, key: Secret) -> None:
        metadata = (("authorization", f"Bearer {key.reveal()}"),)
        self._call: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(f"/{SERVICE}/DeltaSecrets")(
            metadata=metadata
        )
        self._refresh_time = 0.0

    async def open(self) -> None:
        await self._call.write(delta(TOKEN).SerializeToString())
        await self._receive()

    async def renewal(self) -> Renewal:
        due = self._refresh_time
        await self._receive()
        now = time.time()
        return Renewal(now, due - now)

    async def _receive(self) -> None:
        answer = await self._call.read()
        if not isinstance(answer, bytes):
            raise RuntimeError(f"the stream has ended: {await self._call.code()} {await self._call.details()}")  # noqa: TRY004
        response = DELTA_RESPONSE.FromString(answer)
        await self._call.write(delta(response_nonce=response.nonce).SerializeToString())
        claims = jwt.decode(secrets_of(response)[TOKEN], options={"verify_signature": False})
        # A third into its life, as tokend has it.
        self._refresh_time = claims["iat"] + (claims["exp"] - claims["iat"]) / 3


async def measure(case: Case, pid: int, address: str, keys: Sequence[Secret]) -> str:
    """Opens the streams and waits for their renewals; the line of the table."""
    before = cpu_seconds(pid)
    async with AsyncExitStack() as stack:
        made: list[Stream] = []
        for start in range(0, case.tokens, OPENING):
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(address, OPTIONS))
            batch = [Stream(channel, key) for key in keys[start : start + OPENING]]
            await asyncio.gather(*(stream.open() for stream in batch))
            made += batch
        opened = cpu_seconds(pid)
        renewals = await asyncio.gather(*(stream.renewal() for stream in made))
        renewed = cpu_seconds(pid)
    times = [each.at for each in renewals]
    most = max(Counter(map(int, times)).values())
    early = [each.early for each in renewals]
    cells = (
        f"{case.tokens:,}",
        case.algorithm,
        str(case.life),
        f"{1000 * (opened - before) / case.tokens:.2f}",
        f"{1000 * (renewed - opened) / case.tokens:.2f}",
        f"{max(times) - min(times):.0f}",
        str(most),
        f"{min(early):.1f}",
        f"{quantiles(early, n=2)[0]:.1f}",
    )
    return f"| {' | '.join(cells)} |"


@contextmanager
def tokend(case: Case, directory: Path, keys: Sequence[Secret]) -> Iterator[tuple[int, str]]:
    """A server that knows the keys, and its address."""
    port = free_port()
    text = _CONFIG.format(
        port=port,
        ops=free_port(),
        directory=directory,
        pool=_POOL,
        streams=case.tokens,
        connections=max(100, case.tokens),
        life=case.life,
        algorithm=case.algorithm,
    )
    config, log = directory / "tokend.toml", directory / "tokend.log"
    config.write_text(text + "".join(f'c{at} = ["{digest(key)}"]\n' for at, key in enumerate(keys)))
    command = [sys.executable, "-m", "tokend_server", "serve", "--config", str(config)]
    with running(command, Cores.available(), log) as process:
        wait_until(lambda: accepts_connections(port), process, log, seconds=120)
        yield process.pid, f"127.0.0.1:{port}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=3000)
    parser.add_argument("--life", type=int, default=360, help="seconds; a third of it is the refresh_time")
    parser.add_argument("--algorithm", default="RS512")
    arguments = parser.parse_args()
    case = Case(arguments.tokens, arguments.life, arguments.algorithm)
    keys = [new_key(secrets.token_bytes) for _ in range(case.tokens)]
    with TemporaryDirectory() as name:
        directory = Path(name)
        print(f"{datetime.now(UTC):%Y-%m-%d}. {describe(directory)}\n\n{HEAD}")  # noqa: T201 - its result
        with tokend(case, directory, keys) as (pid, address):
            print(asyncio.run(measure(case, pid, address, keys)))  # noqa: T201 - as above


if __name__ == "__main__":
    main()
