"""Rounds of concurrent calls through several processes on one store, and whether they are linearizable."""

import json
import os
import random
import socket
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, TextIO

from tests.linearizability.calls import DEVELOPER, PUBLIC, Call
from tests.linearizability.model import Event, is_explained
from tests.support.grpc_service import TIMEOUT
from tests.support.preloaded import fork

from tokend_server.config import Config, Store
from tokend_server.engines.local.stores.opening import open_migrated_store

ROOT = Path(__file__).parents[2]

#: Seconds for all processes to read their calls.
LEAD = 0.005

USERS = ("a", "b", "c", "d")


def unexplained(url: str, seeds: Iterable[int], processes: int = 2) -> Iterator[tuple[int, list[Event]]]:
    """Runs a round for each seed on a new store, and yields those that are not linearizable."""
    with closing(open_migrated_store(Config(store=Store(url=url)))), ExitStack() as stack:
        running = [stack.enter_context(process(url)) for _ in range(processes)]
        for seed in seeds:
            pool, history = round_of(running, seed)
            if not is_explained(pool, history):
                yield seed, history


@contextmanager
def process(url: str) -> Iterator[TextIO]:
    """Runs a process that uses the store, and yields the stream of its rounds and their results."""
    ours, its = socket.socketpair()
    with ours, ours.makefile("rw", encoding="utf-8") as stream:
        with its:
            running = fork(
                "tests.linearizability.process", [url], os.environ, ROOT, stdout=its.fileno(), stdin=its.fileno()
            )
        yield stream
        ours.shutdown(socket.SHUT_WR)
        assert running.wait(TIMEOUT) == 0


def made(running: Sequence[TextIO], pool: str, work: Sequence[Sequence[dict[str, Any]]]) -> list[Event]:
    """Lets the processes make calls at the same time, each in several threads, and returns the events."""
    begin = time.monotonic() + LEAD
    for each, threads in zip(running, work, strict=True):
        print(json.dumps({"identity_pool_id": pool, "begin": begin, "threads": threads}), file=each, flush=True)
    events = []
    for each in running:
        for described, answered, began, ended in json.loads(each.readline()):
            events.append(Event(Call(**described), tuple(answered), began, ended))
    return events


def any_call(choose: random.Random, identity_ids: Sequence[str]) -> dict[str, Any]:
    user, other = choose.sample(USERS, 2)
    identity_id = choose.choice(identity_ids)
    public = {PUBLIC: f"user {choose.choice('pq')}"} if choose.random() < 0.3 else {}
    return choose.choice(
        [
            {"operation": "token", "logins": {DEVELOPER: user, **public}},
            {"operation": "token", "logins": {DEVELOPER: user, **public}, "identity_id": identity_id},
            {"operation": "lookup", "logins": {"user": user}},
            {"operation": "lookup", "identity_id": identity_id},
            {"operation": "merge", "logins": {"source": user, "destination": other}},
            {"operation": "merge", "logins": {"source": other, "destination": user}},
            {"operation": "unlink", "logins": {"user": user}, "identity_id": identity_id},
            {"operation": "unlink", "logins": {"user": user}, "identity_id": identity_id},
            {"operation": "delete", "identity_id": identity_id},
        ]
    )


def thread(choose: random.Random, calls: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"calls": calls, "pauses": [choose.choice((0, 0.0005, 0.002)) for _ in range(7)]}


def round_of(running: Sequence[TextIO], seed: int) -> tuple[str, list[Event]]:
    """Runs a round: registers three users, makes concurrent calls, and looks up all users.

    Four threads of two processes make six calls, or one thread of each of more processes makes one.
    """
    choose = random.Random(seed)
    pool = f"eu-west-1:{uuid.uuid4()}"
    first = [{"operation": "token", "logins": {DEVELOPER: user}} for user in USERS[:3]]
    others: list[list[dict[str, Any]]] = [[] for _ in running[1:]]
    history = made(running, pool, [[thread(choose, first)], *others])
    identity_ids = [event.answer[1] for event in history]
    counts = (2, 1) if len(running) == 2 else (1,)
    at_once = [
        [thread(choose, [any_call(choose, identity_ids) for _ in range(count)]) for count in counts] for _ in running
    ]
    history += made(running, pool, at_once)
    last = [{"operation": "lookup", "logins": {"user": user}} for user in USERS]
    last += [{"operation": "token", "logins": {DEVELOPER: user}} for user in USERS]
    history += made(running, pool, [*others, [thread(choose, last)]])
    return pool, history
