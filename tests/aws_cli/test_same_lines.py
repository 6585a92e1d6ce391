"""tokendctl and the real AWS CLI handle the same command lines in the same way."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest
from tests.aws_cli.answers import Members, aws_endpoint, grpc_endpoint
from tests.aws_cli.lines import DIFFERENCES, FILES, LINES, words
from tests.support.aws_cli import aws_cli_1
from tests.support.tokendctl import run_tokendctl

from tokend_client.tokendctl.operations import operations

pytestmark = pytest.mark.timeout(600)  # the first test waits for all lines

#: awscli of the package registry is version 1, which fails with 2 or 255. These are the codes of version 2 for what
#: it says (AWS's user guide, "Command line return codes"): the first that matches.
EXIT_CODES: Mapping[str, int] = MappingProxyType(
    {
        r"An error occurred \(": 254,
        r"Parameter validation failed:": 252,
        r"Error parsing parameter": 252,
        r"Unknown options:": 252,
        r"Bad value for --query": 252,
        r"error: (argument|ambiguous option|the following arguments are required)": 252,
        r"Invalid (choice|JSON|type)": 252,
    }
)

COMMANDS = {each.command for each in operations()} | {"NONSENSE"}

_ERROR = re.compile(r"An error occurred \((\w+)\) when calling the (\w+) operation")


@dataclass(frozen=True)
class Outcome:
    """The result of a command line.

    Attributes:
        exit_code: The exit code of version 2 of the AWS CLI.
        stdout: Its output.
        error: AWS's exception and operation, if the service rejected the call.
        requests: The received members of each call.
    """

    exit_code: int
    stdout: str
    error: tuple[str, ...]
    requests: tuple[Members, ...]


def outcome(exit_code: int, stdout: str, stderr: str, requests: list[Members]) -> Outcome:
    error = _ERROR.search(stderr)
    # gRPC does not distinguish an empty map from none.
    given = tuple({name: value for name, value in each.items() if value != {}} for each in requests)
    return Outcome(exit_code, stdout, error.groups() if error else (), given)


def exit_code(ended: subprocess.CompletedProcess[str]) -> int:
    """Returns the exit code of version 2 for the message of version 1."""
    if ended.returncode == 0:
        return 0
    return next((code for pattern, code in EXIT_CODES.items() if re.search(pattern, ended.stderr)), 255)


def aws_words(line: str, endpoint_url: str) -> list[str]:
    """Returns the words of a line for version 1 of the AWS CLI, which has no pager option."""
    given = [word for word in words(line) if word != "--no-cli-pager"]
    command = next(index for index, word in enumerate(given) if word in COMMANDS)
    return [*given[:command], "cognito-identity", *given[command:], "--endpoint-url", endpoint_url]


def run_aws_cli(directory: Path, lines: list[list[str]]) -> list[subprocess.CompletedProcess[str]]:
    environment = {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "HOME": str(directory),
        "PATH": os.defpath,
    }
    with aws_cli_1(directory) as run_cli:
        return [run_cli(each, environment) for each in lines]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("lines")
    for name, content in FILES.items():
        (path / name).write_bytes(content)
    before = Path.cwd()
    os.chdir(path)
    yield path
    os.chdir(before)


@pytest.fixture(scope="module")
def by_aws(directory: Path) -> dict[str, Outcome]:
    with aws_endpoint() as endpoint:
        url = f"http://127.0.0.1:{endpoint.server_address[1]}"
        # Each line has its own path, which identifies its requests.
        ended = run_aws_cli(directory, [aws_words(line, f"{url}/{number}") for number, line in enumerate(LINES)])
        return {
            line: outcome(exit_code(each), each.stdout, each.stderr, endpoint.requests[str(number)])
            for number, (line, each) in enumerate(zip(LINES, ended, strict=True))
        }


@pytest.fixture(scope="module")
def by_tokendctl(directory: Path) -> dict[str, Outcome]:
    assert directory
    outcomes = {}
    with grpc_endpoint() as endpoint:
        for line in LINES:
            endpoint.seen.clear()
            ended = run_tokendctl([*words(line), "--endpoint", endpoint.endpoint])
            outcomes[line] = outcome(ended.exit_code, ended.stdout, ended.stderr, list(endpoint.seen))
    return outcomes


@pytest.mark.parametrize("line", [line for line in LINES if line not in DIFFERENCES])
def test_tokendctl_and_the_aws_cli_have_the_same_outcome(
    line: str, by_aws: dict[str, Outcome], by_tokendctl: dict[str, Outcome]
) -> None:
    assert by_tokendctl[line] == by_aws[line]


@pytest.mark.parametrize("line", DIFFERENCES)
def test_each_listed_difference_exists(line: str, by_aws: dict[str, Outcome], by_tokendctl: dict[str, Outcome]) -> None:
    assert by_tokendctl[line] != by_aws[line]


def test_there_are_150_lines_and_at_most_10_differ() -> None:
    assert len(set(LINES)) >= 150
    assert len(DIFFERENCES) <= 10
    assert DIFFERENCES.keys() <= set(LINES)
