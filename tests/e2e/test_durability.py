"""Identities across processes, restarts and crashes, with real servers on one database."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from itertools import count
from pathlib import Path

import grpc
import pytest
from tests.support.calls import Caller
from tests.support.server_process import ServerProcess, write_config

CALLERS = 8


def test_parallel_first_calls_through_four_processes_agree(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    with ExitStack() as stack:
        servers = [stack.enter_context(ServerProcess(config)) for _ in range(4)]
        callers = [stack.enter_context(closing(Caller(server))) for server in servers]
        pool = stack.enter_context(ThreadPoolExecutor(200))
        start = threading.Barrier(200)

        def first_call(number: int) -> str:
            start.wait()
            return callers[number % 4].get_token("everybody's user").identity_id

        assert len(set(pool.map(first_call, range(200)))) == 1


def test_a_user_keeps_its_identity_across_a_restart_and_between_servers(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    with ServerProcess(config) as one, ServerProcess(config) as other:
        identity_ids = {token_from(server) for server in (one, other)}
    with ServerProcess(config, afresh=True) as restarted:  # with another hash seed
        identity_ids.add(token_from(restarted))
    assert len(identity_ids) == 1


@pytest.mark.parametrize("seed", range(4))
def test_acknowledged_identities_survive_a_crash(tmp_path: Path, seed: int) -> None:
    moments = random.Random(seed)
    config = write_config(tmp_path)
    acknowledged: dict[str, str] = {}
    for crash in range(3):
        server = ServerProcess(config)
        with register_users(server, f"crash {crash}", acknowledged) as reached:
            reached(len(acknowledged) + moments.randint(1, 150))
            server.kill()
    with ServerProcess(config) as server, closing(Caller(server)) as caller, ThreadPoolExecutor(CALLERS) as pool:
        found = pool.map(lambda user: caller.get_token(user).identity_id, acknowledged)
        assert dict(zip(acknowledged, found, strict=True)) == acknowledged


def token_from(server: ServerProcess) -> str:
    with closing(Caller(server)) as caller:
        return caller.get_token("wanderer").identity_id


@contextmanager
def register_users(server: ServerProcess, prefix: str, acknowledged: dict[str, str]) -> Iterator["WaitForCount"]:
    """Registers new users from several threads until the server is gone, and records every returned id."""
    changed = threading.Condition()
    numbers = count()

    def register() -> None:
        with closing(Caller(server)) as caller:
            while True:
                user = f"{prefix} user {next(numbers)}"
                try:
                    identity_id = caller.get_token(user).identity_id
                except grpc.RpcError:
                    return
                with changed:
                    acknowledged[user] = identity_id
                    changed.notify_all()

    with ThreadPoolExecutor(CALLERS) as pool:
        running = [pool.submit(register) for _ in range(CALLERS)]
        yield WaitForCount(changed, acknowledged)
    for each in running:
        each.result()


class WaitForCount:
    """Waits until this many users are registered."""

    def __init__(self, changed: threading.Condition, acknowledged: dict[str, str]) -> None:
        self._changed = changed
        self._acknowledged = acknowledged

    def __call__(self, wanted: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._acknowledged) >= wanted, timeout=60)
