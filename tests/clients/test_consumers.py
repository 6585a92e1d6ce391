"""The examples that continually need tokens, while the replicas of tokend hang, die and are replaced.

A caller may fail only if no valid token is available: some seconds after the end of the last replica, when the
cached tokens have expired, until two seconds after a replica serves.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.clients.toolchains import BUILD_TIMEOUT, ROOT, SHORT_LIVED_JVM, leave_out, run
from tests.support.go_program import go_program
from tests.support.health import SERVING, wait_for, watch_health
from tests.support.ports import free_ports
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, ServerProcess

CALLERS = 64
TOKEN_SECONDS = 8
#: Longer than each token is returned, and a request then waits, so that each caller fails in each outage.
OUTAGE_SECONDS = TOKEN_SECONDS + 2
#: How long all tokens last without tokend: they are refreshed at a third of their lifetime, within half a second, and
#: returned until a tenth of it is left.
TOKENS_LAST = TOKEN_SECONDS * 0.9 - TOKEN_SECONDS / 3 - 0.5
RECOVERY_SECONDS = 2
#: A hung server causes either one: the deadline of a request may be before or after the timeout of its connection.
OUTAGE_CODES = {"UNAVAILABLE", "DEADLINE_EXCEEDED"}

CLIENTS = ROOT / "clients"

Command = list[str]
Report = dict[str, Any]


def python(_directory: Path) -> Command:
    return [sys.executable, str(CLIENTS / "python" / "examples" / "consumer.py")]


def go(directory: Path) -> Command:
    return [str(go_program(directory / "consumer", CLIENTS / "go" / "examples", "the example in Go", "./consumer"))]


def java(directory: Path) -> Command:
    classpath = directory / "classpath"
    goals = ["test-compile", "dependency:build-classpath", f"-Dmdep.outputFile={classpath}"]
    # Otherwise packaged code is compiled again, because the paths of its dependencies have changed.
    goals.append("-Dmaven.compiler.useIncrementalCompilation=false")
    run(["mvn", "-B", "-q", "-pl", "examples", "-am", *goals], CLIENTS / "java")
    classes = CLIENTS / "java" / "examples" / "target" / "test-classes"
    return ["java", *SHORT_LIVED_JVM, "-cp", f"{classes}:{classpath.read_text(encoding='utf-8')}", "example.Consumer"]


#: How each example is built, and its required tool.
PROGRAMS: dict[str, tuple[str, Callable[[Path], Command]]] = {
    "python": ("python3", python),
    "go": ("go", go),
    "java": ("mvn", java),
}

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT)


@dataclass(frozen=True)
class Outage:
    """The time without a replica, in seconds since the Unix epoch."""

    begin: float
    end: float

    def excuses(self, at: float) -> bool:
        return self.begin + TOKENS_LAST <= at <= self.end + RECOVERY_SECONDS


class Replicas:
    """Two servers with one database, each with a fixed address."""

    def __init__(self, directory: Path) -> None:
        self._ports = free_ports(2)
        self._configs = []
        for number, port in enumerate(self._ports):
            config = directory / f"{number}.toml"
            config.write_text(
                f"""
[grpc]
listen = ["127.0.0.1:{port}"]
drain_delay_seconds = 1
[issuer]
listen = "127.0.0.1:0"
[ops]
listen = "127.0.0.1:0"
[store]
url = "sqlite:///{directory}/tokend.db"
[pools."{POOL_ID}"]
developer_provider_name = "{DEVELOPER_PROVIDER}"
signing_algorithm = "ES256"
""",
                encoding="utf-8",
            )
            self._configs.append(config)
        self._servers = [ServerProcess(config) for config in self._configs]
        self.addresses = ",".join(f"127.0.0.1:{port}" for port in self._ports)

    def signal(self, number: int, which: signal.Signals) -> None:
        os.kill(self._servers[number].pid, which)

    def kill(self, number: int) -> None:
        self._servers[number].kill()

    def start(self, number: int) -> None:
        self._servers[number] = ServerProcess(self._configs[number])

    def wait_until_serving(self, *numbers: int) -> None:
        """Waits until servers report that they serve, which a resumed one does only after its next probe of itself."""
        for number in numbers:
            with grpc.insecure_channel(self._servers[number].endpoint) as channel:
                wait_for(watch_health(channel), SERVING)

    def replace(self, number: int) -> None:
        """Stops a server as in a deployment, and starts its successor."""
        self._servers[number].stop()
        self.start(number)

    def stop(self) -> None:
        for server in self._servers:
            if server.exit_code is None:
                os.kill(server.pid, signal.SIGCONT)
                server.stop()


@contextmanager
def consuming(command: Command, replicas: Replicas) -> Iterator[Report]:
    """Runs a consumer during the block, and then contains its report."""
    arguments = [replicas.addresses, POOL_ID, DEVELOPER_PROVIDER, str(CALLERS), str(TOKEN_SECONDS)]
    report: Report = {}
    with subprocess.Popen([*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        report["ready"] = time.time()
        yield report
        process.stdin.close()
        report |= json.loads(process.stdout.read())
    assert process.returncode == 0


def out_of_service(replicas: Replicas) -> list[Outage]:
    """Runs all events of the replicas, and returns the outages: the times when both were down.

    After each event, callers have the time to refresh their tokens.
    """
    wait = threading.Event().wait
    outages = []

    replicas.signal(0, signal.SIGSTOP)
    wait(OUTAGE_SECONDS)
    replicas.signal(0, signal.SIGCONT)

    replicas.kill(0)
    replicas.start(0)
    wait(TOKEN_SECONDS)

    begin = time.time()
    for number in (0, 1):
        replicas.kill(number)
    wait(OUTAGE_SECONDS)
    replicas.start(0)
    replicas.wait_until_serving(0)
    outages.append(Outage(begin, time.time()))
    replicas.start(1)
    wait(TOKEN_SECONDS)

    begin = time.time()
    for number in (0, 1):
        replicas.signal(number, signal.SIGSTOP)
    wait(OUTAGE_SECONDS)
    for number in (0, 1):
        replicas.signal(number, signal.SIGCONT)
    replicas.wait_until_serving(0, 1)
    outages.append(Outage(begin, time.time()))
    wait(TOKEN_SECONDS)

    for number in (0, 1):
        replicas.replace(number)
    wait(TOKEN_SECONDS)
    return outages


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Report], list[Outage]]:
    """The reports of all consumers, which run concurrently, and the outages."""
    directory = tmp_path_factory.mktemp("consumers")
    commands = {name: build(directory) for name, (tool, build) in PROGRAMS.items() if shutil.which(tool)}
    with ExitStack() as undo:
        replicas = Replicas(directory)
        undo.callback(replicas.stop)
        with ExitStack() as consumers:
            reports = {
                name: consumers.enter_context(consuming(command, replicas)) for name, command in commands.items()
            }
            outages = out_of_service(replicas)
    return reports, outages


@pytest.mark.parametrize("language", PROGRAMS)
def test_callers_fail_only_without_a_usable_token(
    outcome: tuple[dict[str, Report], list[Outage]], language: str
) -> None:
    reports, outages = outcome
    if language not in reports:
        leave_out(f"{PROGRAMS[language][0]} is not installed, so the consumer is left out")
    report = reports[language]
    failures = [(each["at"], each["code"]) for each in report["failures"] if each["at"] >= report["ready"]]
    excused = [sum(outage.excuses(at) for at, _ in failures) for outage in outages]
    unexcused = [each for each in failures if not any(outage.excuses(each[0]) for outage in outages)]
    assert (unexcused, report["expired"]) == ([], 0)
    assert min(excused) >= CALLERS
    assert {code for _, code in failures} <= OUTAGE_CODES
    assert report["asks"] > 10 * CALLERS
