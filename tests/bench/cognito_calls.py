"""The cost of the Cognito engine relative to a bare boto3 call: both in turns in one process, with one upstream."""

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import count

import boto3
from prometheus_client import CollectorRegistry
from tests.bench.instant_upstream import POOL_ID
from tests.bench.messages import PROVIDER

from tokend_server.clock import Deadline, SystemClock
from tokend_server.config import Config
from tokend_server.engine import Engine
from tokend_server.engines.build import build_engines
from tokend_server.metrics import Metrics
from tokend_server.model import Secret, TokenRequest

#: How many call at once.
CALLERS = (1, 8)

_DEADLINE_SECONDS = 3.0


def bare_call(endpoint_url: str) -> Callable[[str], None]:
    """Makes a call with boto3's client and its default settings."""
    client = boto3.client("cognito-identity", region_name=POOL_ID.partition(":")[0], endpoint_url=endpoint_url)

    def call(user: str) -> None:
        client.get_open_id_token_for_developer_identity(
            IdentityPoolId=POOL_ID, Logins={PROVIDER: user}, TokenDuration=900
        )

    return call


def engine_call(engine: Engine) -> Callable[[str], None]:
    """Makes a call with the engine and its metrics, as the gRPC listener does."""
    clock = SystemClock()

    def call(user: str) -> None:
        request = TokenRequest(POOL_ID, {PROVIDER: Secret(user)})
        deadline = Deadline(clock, clock.monotonic() + _DEADLINE_SECONDS)
        engine.get_open_id_token_for_developer_identity(request, deadline)

    return call


def cpu_microseconds(call: Callable[[str], None], callers: int, calls: int) -> float:
    """Returns the CPU time of this process per call, each for another user, from this many threads."""
    users = count()

    def work() -> None:
        for _ in range(calls // callers):
            call(f"user-{next(users)}")

    threads = [threading.Thread(target=work) for _ in range(callers)]
    started = time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.process_time() - started) / calls * 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--endpoint-url", required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--calls", type=int, required=True)
    options = parser.parse_args()
    pool = {"engine": "cognito", "developer_provider_name": PROVIDER}
    settings = {"endpoint_url": options.endpoint_url, "requests_per_second": 0}
    config = Config.model_validate({"cognito": settings, "pools": {POOL_ID: pool}})
    engines = build_engines(config, "", Metrics(CollectorRegistry()), SystemClock(), nullcontext)
    kinds = {"boto3": bare_call(options.endpoint_url), "engine": engine_call(engines.by_pool[POOL_ID])}
    for call in kinds.values():
        cpu_microseconds(call, max(CALLERS), options.calls)  # warms up
    rounds = [
        {
            f"{kind} {callers}": cpu_microseconds(call, callers, options.calls)
            for callers in CALLERS
            for kind, call in kinds.items()
        }
        for _ in range(options.rounds)
    ]
    engines.close()
    json.dump(rounds, sys.stdout)


if __name__ == "__main__":
    main()
