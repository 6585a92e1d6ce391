"""The AWS CLI: version 1 in one process, and version 2 in processes of its own."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from tests.support.python_distribution import layer_program

#: The distribution that contains version 2.
_DISTRIBUTION = "aws-cdk-asset-awscli-v2==2.0.198"

_VERSION_1 = Path(__file__).with_name("run_aws_cli_1.py")

#: Runs a command line, from the words after `aws`, with all its environment variables.
AwsCli: TypeAlias = Callable[[Sequence[str], Mapping[str, str]], subprocess.CompletedProcess[str]]


@contextmanager
def aws_cli_1(directory: Path) -> Iterator[AwsCli]:
    """Runs command lines in a directory, in one process."""
    command = [sys.executable, str(_VERSION_1)]
    pipe, utf_8 = subprocess.PIPE, {"PYTHONUTF8": "1"}
    with subprocess.Popen(command, cwd=directory, env=utf_8, stdin=pipe, stdout=pipe, encoding="utf-8") as process:
        assert process.stdin
        assert process.stdout
        stdin, stdout = process.stdin, process.stdout

        def run_cli(words: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
            print(json.dumps({"words": words, "environment": dict(environment)}), file=stdin, flush=True)
            return subprocess.CompletedProcess(words, **json.loads(stdout.readline()))

        try:
            yield run_cli
        finally:
            process.kill()


@contextmanager
def aws_cli_2(directory: Path) -> Iterator[AwsCli]:
    """Runs command lines in a directory, each in a process of the program, which is fetched once per machine."""
    program = layer_program(_DISTRIBUTION, "awscli/v2/*/dist/aws", "the AWS CLI 2")

    def run_cli(words: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        command = [str(program), *words]
        return subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, encoding="utf-8", check=False
        )

    yield run_cli
