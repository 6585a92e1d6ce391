"""Simulates a service that continually needs tokens of many users, with asyncio.

    python consumer.py HOST:PORT,HOST:PORT IDENTITY_POOL_ID DEVELOPER_PROVIDER_NAME CALLERS TOKEN_SECONDS

It prints `ready` when each caller has got a token, and runs until its standard input ends. Then it prints as JSON the
number of requests, the time and code of each failure, and the number of tokens that had already expired.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

from tokend_client import AsyncClient, AsyncTokenCache, TokendError, TokenRequest

TIMEOUT = 1.0
PAUSE = 0.05


@dataclass
class Failure:
    """A failed request: its time, in seconds since the Unix epoch, and its status code."""

    at: float
    code: str


@dataclass
class Report:
    """The results of all requests."""

    asks: int = 0
    expired: int = 0
    failures: list[Failure] = field(default_factory=list)


async def ask(cache: AsyncTokenCache, user: TokenRequest, report: Report) -> bool:
    """Requests the token of a user once, and returns whether it arrived."""
    report.asks += 1
    try:
        issued = await cache.token(user, timeout=TIMEOUT)
    except TokendError as error:
        report.failures.append(Failure(time.time(), error.code.name))
        return False
    report.expired += issued.expire_time <= datetime.now(UTC)
    return True


async def call(cache: AsyncTokenCache, user: TokenRequest, report: Report, ready: asyncio.Event) -> None:
    """Requests the token of a user repeatedly."""
    while True:
        if await ask(cache, user, report):
            ready.set()
        await asyncio.sleep(PAUSE)


async def main(replicas: str, pool: str, provider: str, callers: int, token_duration: timedelta) -> Report:
    """Runs all callers until standard input ends."""
    report = Report()
    async with AsyncClient(f"ipv4:{replicas}", plaintext=True) as client, AsyncTokenCache(client) as cache:
        ready = [asyncio.Event() for _ in range(callers)]
        tasks = [
            asyncio.create_task(
                call(
                    cache,
                    TokenRequest(
                        identity_pool_id=pool, logins={provider: f"caller-{number}"}, token_duration=token_duration
                    ),
                    report,
                    event,
                )
            )
            for number, event in enumerate(ready)
        ]
        await asyncio.gather(*(event.wait() for event in ready))
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return report


if __name__ == "__main__":
    replicas, pool, provider, callers, seconds = sys.argv[1:]
    outcome = asyncio.run(main(replicas, pool, provider, int(callers), timedelta(seconds=int(seconds))))
    print(json.dumps(asdict(outcome)))
