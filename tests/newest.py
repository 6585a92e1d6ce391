"""Runs checks with the newest versions of all dependencies within the declared bounds: `poe newest`.

They are installed in a separate environment, which is removed at the end.
"""

import argparse
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
PACKAGES = [
    "server[envoy,otel]",
    "clients/python[aws,cli,httpx,requests,testing,verifier]",
    "proto/gen/envoy",
    "proto/gen/python",
]
TESTS = ["tests/unit", "tests/rpc", "tests/cognito"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="poe newest", epilog="Other arguments are pytest's.")
    parser.add_argument(
        "--types", action=argparse.BooleanOptionalAction, default=True, help="check types too (default: yes)"
    )
    options, tests = parser.parse_known_args()
    with TemporaryDirectory(prefix="tokend-newest-") as directory:
        python = install(Path(directory))
        for name, (pinned, newest) in sorted(differences(python).items()):
            print(f"{name} {pinned} -> {newest}", flush=True)  # noqa: T201 - what was tried
        checks = [["pytest", "-q", "-p", "no:cacheprovider", *(tests or TESTS)]]
        if options.types:
            checks.insert(0, ["mypy", "--cache-dir", f"{directory}/mypy"])
        failed = [check[0] for check in checks if run(python, *check).returncode]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


def install(directory: Path) -> Path:
    """Creates an environment in `directory`, where the pins of pyproject.toml do not apply."""
    python = directory / "environment" / "bin" / "python"
    editables = [argument for package in PACKAGES for argument in ("--editable", f"{ROOT}/{package}")]
    for command in (
        ["uv", "venv", "--quiet", "--python", sys.executable, f"{directory}/environment"],
        [
            "uv",
            "pip",
            "install",
            "--quiet",
            "--python",
            f"{python}",
            "--group",
            f"{ROOT}/pyproject.toml:dev",
            *editables,
        ],
    ):
        subprocess.run(command, cwd=directory, check=True)
    return python


def differences(python: Path) -> Mapping[str, tuple[str, str]]:
    """Returns the pinned and the installed version of each distribution where they differ."""
    listed = subprocess.run(
        ["uv", "pip", "list", "--python", python, "--format", "json"],
        cwd=python.parent,
        check=True,
        capture_output=True,
    )
    installed = {each["name"]: each["version"] for each in json.loads(listed.stdout)}
    root = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pins = dict(pin.split("==") for pin in root["tool"]["uv"]["constraint-dependencies"])
    return {
        name: (version, installed[name]) for name, version in pins.items() if installed.get(name, version) != version
    }


def run(python: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Runs a module of the environment, with the environment's programs first in PATH."""
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "VIRTUAL_ENV": str(python.parents[1]), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([python, "-m", module, *arguments], cwd=ROOT, env=environment, check=False)


if __name__ == "__main__":
    main()
