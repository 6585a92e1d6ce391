"""The cost of replacing thousands of different tokens in time: `python -m tests.bench.renewals [--tokens N]`.

Each stream belongs to another caller with a separate token, like the Envoys of as many services. All open within
seconds, as after a restart, and wait until each has its next token. The table has the server's CPU time per renewal,
the distribution of renewals, and how long before the `refresh_time` of its predecessor the latest token arrived.
"""

import argparse
import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

import grpc
import jwt
from tests.bench.machine import describe
from tests.bench.processes import Cores, cpu_seconds
from tests.bench.serve_secrets import serving_secrets
from tests.mesh.secret_streams import DELTA_RESPONSE, OPTIONS, delta, secrets_of

from tokend_server.callers.keys import digest, new_key
from tokend_server.mesh.sds_messages import SERVICE
from tokend_server.model import Secret

TOKEN = "token"

#: Streams that are opened at once.
OPENING = 50

HEAD = (
    "| tokens | algorithm | life, s | CPU to open, ms each | CPU to renew, ms each | renewed within, s | "
    "most in a second | least before refresh_time, s | median before it, s |\n"
    "|---:|---|---:|---:|---:|---:|---:|---:|---:|"
)


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        tokens: The number of tokens.
        life: The seconds for which each is valid.
        algorithm: The signing algorithm.
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
    """Opens the streams, waits for their renewals, and returns the row of the table."""
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


def tokend(case: Case, directory: Path, keys: Sequence[Secret]) -> AbstractContextManager[tuple[int, str]]:
    """Starts a server that knows the keys, and returns it with its address."""
    listener = f"""
identify_by = ["bearer_key"]
max_streams = {case.tokens}
max_connections = {max(100, case.tokens)}
"""
    rest = f"""
signing_algorithm = "{case.algorithm}"
[policy.everyone]
callers = ["**"]
pools = ["*"]
operations = ["*"]
[callers.keys]
"""
    rest += "".join(f'c{at} = ["{digest(key)}"]\n' for at, key in enumerate(keys))
    secret = f"token_duration_seconds = {case.life}"
    return serving_secrets(directory, Cores.available(), listener=listener, secret=secret, rest=rest)


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
