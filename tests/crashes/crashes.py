"""Two servers with one database. One or both are repeatedly killed during merges and unlinks."""

import random
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from tests.crashes.group import Group
from tests.linearizability.calls import Answer, Call
from tests.linearizability.model import INTERRUPTED
from tests.soak.measures import Growth, Sample, sample
from tests.support.calls import Caller
from tests.support.server_process import ServerProcess, write_config

#: The number of users of the first identity of each group in a round: three small groups, and one at the limit of
#: logins.
_GROUPS = (1, 2, 3, 18)

#: The number of clients for each server and group, and the number of calls of each.
_CLIENTS, _CALLS = 2, 3

#: Which servers are killed, and how often: the second one mostly, so that the first lives to be measured.
_VICTIMS, _WEIGHTS = ((0,), (1,), (0, 1)), (1, 4, 1)

#: Statements that count inconsistencies, which no call may leave behind.
_IMPOSSIBLE = {
    "logins of a disabled identity": "SELECT count(*) FROM linked_logins JOIN identities USING (identity_id) "
    "WHERE disabled",
    "identities of no login that are not disabled": "SELECT count(*) FROM identities WHERE NOT disabled "
    "AND identity_id NOT IN (SELECT identity_id FROM linked_logins)",
    "identities of more than 20 logins": "SELECT count(*) FROM (SELECT 1 FROM linked_logins GROUP BY identity_id "
    "HAVING count(*) > 20)",
    "users of two identities": "SELECT count(*) FROM (SELECT 1 FROM linked_logins JOIN identities USING (identity_id) "
    "GROUP BY identity_pool_id, provider_name, user_identifier HAVING count(*) > 1)",
    "logins of no identity": "SELECT count(*) FROM pragma_foreign_key_check",
    "damage of the file": "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check != 'ok'",
}


@dataclass
class Report:
    """The result of a run.

    Attributes:
        kills: How many servers were killed.
        calls: How many calls had a response.
        interrupted: How many calls had no response, since their server was killed.
        faults: The detected faults.
    """

    kills: int = 0
    calls: int = 0
    interrupted: int = 0
    faults: list[str] = field(default_factory=list)

    def line(self) -> str:
        calls = f"{self.calls} calls answered, {self.interrupted} interrupted"
        return f"{self.kills} kills, {calls}, {len(self.faults)} faults"


class Member:
    """A server with a channel to it.

    Attributes:
        caller: Calls it.
        is_killed: Set before it is killed.
    """

    def __init__(self, config: Path) -> None:
        self._server = ServerProcess(config)
        self.caller = Caller(self._server)
        self.is_killed = threading.Event()
        self._settled: Sample | None = None

    def kill(self) -> None:
        self.is_killed.set()
        self._server.kill()

    def stop(self) -> int:
        self.caller.close()
        return self._server.stop()

    def growth(self) -> Sequence[str]:
        """Returns the growth of its resources since its first round, if it exceeds the limit."""
        now = sample(self._server.pid)
        settled = self._settled = self._settled or now
        growths = [
            Growth("threads", settled.threads, now.threads),
            Growth("descriptors", settled.descriptors, now.descriptors),
        ]
        return [f"{each.name} of a server that lives: {each.after}" for each in growths if each.is_fault]


class Progress:
    """Counts events, and lets others wait for a count."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    def add(self, count: int) -> None:
        with self._changed:
            self._count += count
            self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._count >= count)


def crash(directory: Path, times: int, seed: int) -> Iterator[Report]:
    """Kills servers at least this many times, and yields the report after each round.

    Args:
        directory: Where the database is.
        times: How many servers are killed.
        seed: The seed of all choices; which calls a kill interrupts depends on the machine.
    """
    choose, report = random.Random(seed), Report()
    config, groups = write_config(directory), list[tuple[Group, list[Answer]]]()
    members = [Member(config), Member(config)]
    try:
        while report.kills < times:
            made = [Group(f"kill{report.kills}-of{linked}", choose, linked) for linked in _GROUPS]
            victims = choose.choices(_VICTIMS, _WEIGHTS)[0]
            _play_round(made, members, victims, choose)
            for victim in victims:
                members[victim].caller.close()
                members[victim] = Member(config)
            report.kills += len(victims)
            groups += [(group, _look_up(group, members)) for group in made]
            _judge(made, members, directory / "tokend.db", report)
            yield report
        # Data that one crash has not lost, later ones must not lose either.
        report.faults += [f"lost later: {group.users}" for group, found in groups if _look_up(group, members) != found]
    finally:
        codes = [member.stop() for member in members]
    report.faults += [f"a server has ended with {code}" for code in codes if code]
    yield report


def _play_round(groups: Sequence[Group], members: list[Member], victims: Sequence[int], choose: random.Random) -> None:
    """Registers the groups' users, and kills the victims while clients call through both servers."""
    for group in groups:
        group.register(members[0].caller, members[0].is_killed)
    clients = [(group, member, group.calls(_CALLS)) for group in groups for member in members for _ in range(_CLIENTS)]
    choose.shuffle(clients)
    progress = Progress()
    with ThreadPoolExecutor(len(clients)) as threads:
        running = [threads.submit(_make_calls, *client, progress.add) for client in clients]
        progress.wait_for(choose.randrange(_CALLS * len(clients)))
        for victim in victims:
            members[victim].kill()
        for each in running:
            each.result()


def _make_calls(group: Group, member: Member, calls: Sequence[Call], add: Callable[[int], None]) -> None:
    """Makes the calls until the server is killed; counts all of them, so that no thread waits forever."""
    left = len(calls)
    try:
        for call in calls:
            if group.call(member.caller, call, member.is_killed) == INTERRUPTED:
                return
            left -= 1
            add(1)
    finally:
        add(left)


def _look_up(group: Group, members: Sequence[Member]) -> list[Answer]:
    return list(group.look_up([member.caller for member in members], threading.Event()))


def _judge(groups: Sequence[Group], members: Sequence[Member], database: Path, report: Report) -> None:
    for group in groups:
        interrupted = group.interrupted()
        report.interrupted += interrupted
        report.calls += len(group.history) - interrupted
        if not group.is_explained():
            report.faults.append("\n".join(["no order explains:", *map(str, group.history)]))
    report.faults += impossible(database)
    report.faults += [fault for member in members for fault in member.growth()]


def impossible(database: Path) -> list[str]:
    """Returns the inconsistencies in the database."""
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        counts = {name: connection.execute(statement).fetchone()[0] for name, statement in _IMPOSSIBLE.items()}
    return [f"{name}: {count}" for name, count in counts.items() if count]
