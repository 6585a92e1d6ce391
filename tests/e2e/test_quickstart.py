"""The final output of `tokend quickstart`: how to call it from another terminal, its data, its stable ports."""

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format
from tests.support.tokend import end, start

from tokend.v1.developer_identity_service_pb2 import (
    GetOpenIdTokenForDeveloperIdentityRequest,
    GetOpenIdTokenForDeveloperIdentityResponse,
)

COMMANDS = Path(sys.executable).parent


@contextmanager
def quickstart(directory: Path) -> Iterator[str]:
    """A quickstart that keeps running, and its output."""
    process = start("quickstart", TOKEND_DATA_DIR=str(directory), PYTHONUNBUFFERED="1", UV="/usr/bin/uv")
    assert process.stdout
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("curl "):
                break
        yield "".join(lines)
    finally:
        process.send_signal(signal.SIGINT)
        ended = end(process)
        assert (ended.stderr, ended.returncode) == ("", 0)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quickstart") / "data of one user"


@pytest.fixture(scope="module")
def shown(directory: Path) -> Iterator[str]:
    with quickstart(directory) as output:
        yield output


def commands(shown: str) -> list[list[str]]:
    return [shlex.split(line) for line in shown.splitlines()[-3:]]


def issuer(shown: str) -> str:
    (found,) = re.findall(r'"issuer": "(.*)"', shown)
    return str(found)


def test_the_printed_commands_issue_a_token_and_fetch_the_keys(shown: str) -> None:
    (uv, run, tokendctl, *arguments), _, (curl, url) = commands(shown)
    assert (uv, run, tokendctl, curl) == ("uv", "run", "tokendctl", "curl")
    done = subprocess.run([COMMANDS / tokendctl, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout).keys() == {"IdentityId", "Token"}
    keys = httpx.get(url, trust_env=False).json()["keys"]
    assert [key["use"] for key in keys] == ["sig"]
    assert url.startswith(f"{issuer(shown)}/")


def test_the_printed_grpcurl_command_is_a_valid_call(shown: str) -> None:
    _, (grpcurl, plaintext, data, message, endpoint, method), _ = commands(shown)
    assert (grpcurl, plaintext, data) == ("grpcurl", "-plaintext", "-d")
    request = json_format.Parse(message, GetOpenIdTokenForDeveloperIdentityRequest())
    with grpc.insecure_channel(endpoint) as channel:
        call: Any = channel.unary_unary(
            f"/{method}",
            request_serializer=GetOpenIdTokenForDeveloperIdentityRequest.SerializeToString,
            response_deserializer=GetOpenIdTokenForDeveloperIdentityResponse.FromString,
        )
        assert call(request, timeout=30).token


def test_a_token_that_is_piped_is_whole(shown: str) -> None:
    (token,) = re.findall(r'"token": "(.*)"', shown)
    assert len(token.split(".")) == 3


def test_the_ports_are_stable_and_the_printed_removal_removes_all_files(tmp_path: Path) -> None:
    with quickstart(tmp_path) as first:
        assert (tmp_path / "tokend.db").exists()
    with quickstart(tmp_path) as second:
        assert commands(second) == commands(first)
        assert issuer(second) == issuer(first)
        with quickstart(tmp_path) as beside:
            assert issuer(beside) != issuer(second)
    for suffix in ("-wal", "-shm", "-journal"):  # the last one is of a restoration that was killed
        (tmp_path / f"tokend.db{suffix}").touch()
    (removal,) = re.findall(r"to remove them: (.*)", second)
    subprocess.run(["sh", "-c", removal], check=True)
    assert [*tmp_path.iterdir()] == []


def test_a_token_on_a_terminal_is_shortened(directory: Path, shown: str) -> None:
    (whole,) = re.findall(r'"token": "(.*)"', shown)
    ours, theirs = pty.openpty()
    with closing(os.fdopen(ours, "rb", buffering=0)) as terminal:
        words = [sys.executable, "-m", "tokend_server", "quickstart", "--once"]
        environment = {**os.environ, "TOKEND_DATA_DIR": str(directory)}
        process = subprocess.Popen(words, stdout=theirs, stderr=subprocess.PIPE, env=environment)
        os.close(theirs)
        output = b""
        while chunk := read(terminal.fileno()):
            output += chunk
        _, errors = process.communicate()
        assert (errors, process.returncode) == (b"", 0)
    (token,) = re.findall(r'"token": "(.*)"', output.decode())
    assert token == f"{whole[:40]}…"
    assert "from another terminal" not in output.decode()


def read(terminal: int) -> bytes:
    """Returns the output on a terminal; empty when its last process has ended."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""
