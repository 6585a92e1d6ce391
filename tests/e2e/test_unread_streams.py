"""Standard error and an audit stream without a reader: no call waits, and the process ends on a signal."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.rpc.error_details_pb2 import ResourceInfo, RetryInfo
from tests.support.calls import Caller
from tests.support.grpc_service import failure
from tests.support.ports import free_port
from tests.support.preloaded import fork
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, STOP_TIMEOUT, write_config

from tokend.v1.developer_identity_service_pb2 import LookupDeveloperIdentityRequest

#: The minimum size of a pipe in Linux.
PAGE = 4096

#: Calls whose lines no pipe of a page holds.
CALLS = 60

#: The timeout of a call on a busy machine; a call that waits for a reader never ends.
TIMEOUT = 120.0


class Unread:
    """A server whose standard error is read until it serves, and not afterwards.

    Attributes:
        caller: Its caller.
    """

    endpoint: str
    identity_pool_id = POOL_ID
    developer_provider_name = DEVELOPER_PROVIDER

    def __init__(self, config: Path) -> None:
        self._out, out = os.pipe()
        lines, err = os.pipe()
        self._err = os.fdopen(lines, "rb")
        for pipe in (out, err):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PAGE)
        words = ["serve", "--config", str(config)]
        self.process = fork("tokend_server", words, os.environ, Path.cwd(), err, out)
        for pipe in (out, err):
            os.close(pipe)
        for line in self._err:
            if line.startswith(b"{") and (record := json.loads(line))["message"] == "serving":
                self.endpoint, self._ops = record["grpc"][0], record["ops"]
                break
        self.caller = Caller(self)

    def lookup_of_no_pool(self) -> None:
        request = LookupDeveloperIdentityRequest(identity_pool_id="us-east-1:0", developer_user_identifier="u")
        self.caller.stub.LookupDeveloperIdentity(request, timeout=TIMEOUT)

    def metrics(self) -> Mapping[str, float]:
        with httpx.Client(trust_env=False) as http:
            text = http.get(f"http://{self._ops}/metrics", timeout=TIMEOUT).text
        samples = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def stop(self) -> int:
        self.caller.close()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_TIMEOUT)

    def end(self) -> None:
        self.caller.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_TIMEOUT)
        self._err.close()
        os.close(self._out)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Unread]]:
    started: list[Unread] = []

    def start(extra: str) -> Unread:
        started.append(Unread(write_config(tmp_path, extra)))
        return started[-1]

    yield start
    for server in started:
        server.end()


def test_no_call_waits_for_a_reader_of_the_log(start: Callable[[str], Unread]) -> None:
    server = start('[log]\nlevel = "debug"')
    for _ in range(CALLS):
        assert failure(server.lookup_of_no_pool, ResourceInfo).code is grpc.StatusCode.NOT_FOUND
    assert "tokend_log_records_dropped_total" in server.metrics()
    assert server.stop() == 0


def test_no_call_waits_for_a_reader_of_an_audit_stream(start: Callable[[str], Unread]) -> None:
    server = start('[audit]\ndestination = "stdout"')
    for _ in range(CALLS):
        assert failure(server.lookup_of_no_pool, ResourceInfo).code is grpc.StatusCode.NOT_FOUND
    assert server.stop() == 0


def test_a_call_that_must_be_recorded_fails_without_a_reader(start: Callable[[str], Unread]) -> None:
    server = start('[audit]\ndestination = "stdout"\nrequired = true')

    def until_the_pipe_is_full() -> None:
        for _ in range(CALLS):
            server.caller.get_token("u", timeout=TIMEOUT)

    seen = failure(until_the_pipe_is_full, RetryInfo)
    assert (seen.code, seen.reason) == (grpc.StatusCode.UNAVAILABLE, "ENGINE_UNAVAILABLE")
    assert server.metrics()['tokend_audit_failures_total{error="ETIMEDOUT"}'] >= 1
    assert server.stop() == 0


@pytest.mark.parametrize("closing_them", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_a_service_without_standard_streams_serves(closing_them: str, tmp_path: Path) -> None:
    config, address = write_config(tmp_path), f"127.0.0.1:{free_port()}"
    config.write_text(config.read_text().replace('listen = ["127.0.0.1:0"]', f'listen = ["{address}"]'))
    command = f'exec "{sys.executable}" -m tokend_server serve --config "{config}" {closing_them}'
    process = subprocess.Popen(["/bin/sh", "-c", command])
    try:
        server: Any = Unread.__new__(Unread)
        server.endpoint = address
        with closing(Caller(server)) as caller:
            grpc.channel_ready_future(caller.channel).result(TIMEOUT)
            assert caller.get_token("u").token
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_TIMEOUT) == 0
        assert (tmp_path / "tokend.db").read_bytes().startswith(b"SQLite format 3\0")
    finally:
        process.kill()
        process.wait()
