"""Doubles of DynamoDB: moto's in this process, and dynoxide, which is checked against AWS, in a separate one."""

import os
import subprocess
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from tests.clients.toolchains import need, run
from tests.support.machine_cache import cached_program
from tests.support.ports import free_port, wait_for_listener
from werkzeug.serving import make_server

_HOST = "127.0.0.1"
_TIMEOUT = 30

DYNOXIDE = "3.2.0"

#: URL parameters with timeouts that are long enough for a busy machine, for tests that do not test timeouts.
PATIENT: Mapping[str, object] = {"timeout_seconds": 60, "connect_timeout_seconds": 60}

#: The build options of dynoxide: they minimize the CPU time of the build, not of the program.
_BUILD = ["--no-default-features", "--features", "native-sqlite,http-server,cli", "--locked"]
_PROFILE = {
    "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16",
    "CARGO_PROFILE_RELEASE_LTO": "off",
    "CARGO_PROFILE_RELEASE_OPT_LEVEL": "0",
    "CARGO_PROFILE_RELEASE_PANIC": "abort",
}


def table_name() -> str:
    """Returns the name of a table that does not exist yet."""
    return f"tokend-{uuid.uuid4().hex}"


def table_url(endpoint_url: str, table: str, **parameters: object) -> str:
    """Returns the URL of a store."""
    query = "".join(f"&{name}={value}" for name, value in parameters.items())
    return f"dynamodb://{table}?region=eu-west-1&endpoint_url={endpoint_url}{query}"


@contextmanager
def moto() -> Iterator[str]:
    """moto's DynamoDB; its URL.

    A transaction that it cancels restores the tables, including what others have written meanwhile. Therefore one
    thread handles one request at a time.
    """
    server = make_server(_HOST, 0, DomainDispatcherApplication(create_backend_app), threaded=False)
    thread = threading.Thread(target=server.serve_forever, name="moto")
    thread.start()
    try:
        yield f"http://{_HOST}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def dynoxide(directory: Path) -> Iterator[str]:
    """dynoxide, with its tables in memory; its URL."""
    with dynoxide_process(directory) as (url, _pid):
        yield url


@contextmanager
def dynoxide_process(directory: Path) -> Iterator[tuple[str, int]]:
    """The same, with its process id."""
    program = _built_dynoxide()
    port = free_port()
    log = directory / "dynoxide.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "--host", _HOST, "--port", str(port)], stdout=output, stderr=output, cwd=directory
        )
    try:
        wait_for_listener(port, process, log)
        yield f"http://{_HOST}:{port}", process.pid
    finally:
        process.kill()  # on SIGTERM, it would wait for all connections
        process.wait(_TIMEOUT)


def _built_dynoxide() -> Path:
    """Returns the program, which is built once per machine."""
    return cached_program(f"dynoxide-{DYNOXIDE}", "bin/dynoxide", _build_dynoxide)


def _build_dynoxide(directory: Path) -> None:
    cargo = need("cargo", "DynamoDB's second double")
    command = [cargo, "install", "dynoxide-rs", "--version", DYNOXIDE, "--root", str(directory), *_BUILD]
    run(command, directory, {**os.environ, **_PROFILE})
