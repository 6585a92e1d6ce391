"""The server's use of libraries: all are declared, and private parts are used in few places."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

SERVER = Path(__file__).parents[2] / "server"
MODULES = sorted((SERVER / "tokend_server").rglob("*.py"))

#: Loaded by an entry point that an environment variable selects.
OTHERWISE_USED = {"opentelemetry-exporter-otlp"}


def imported(module: Path) -> Iterator[tuple[str, str]]:
    """Returns each import of another library: the module, and the imported name."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((each.name, "") for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, each.name) for each in node.names)


def normalized(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def declared() -> set[str]:
    project = tomllib.loads((SERVER / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    return {normalized(each) for each in (*project["dependencies"], *(each for extra in extras for each in extra))}


distributions = cache(packages_distributions)


def distribution_of(module: str, name: str) -> set[str]:
    """Returns which distributions contain a module; several share the packages `google` and `opentelemetry`."""
    shared = {
        "google": "protobuf",
        "google.rpc": "googleapis-common-protos",
        "opentelemetry.instrumentation.botocore": "opentelemetry-instrumentation-botocore",
        "opentelemetry.instrumentation.grpc": "opentelemetry-instrumentation-grpc",
        "opentelemetry.propagate": "opentelemetry-sdk",
        "opentelemetry.sdk": "opentelemetry-sdk",
        "opentelemetry.trace": "opentelemetry-sdk",
        "tokend": "tokend-proto",
        "tokend_envoy_proto": "tokend-envoy-proto",
    }
    path = f"{module}.{name}".split(".")
    for length in range(len(path), 0, -1):
        if found := shared.get(".".join(path[:length])):
            return {found}
    return {normalized(each) for each in distributions()[path[0]]}


def test_imports_match_the_declared_dependencies() -> None:
    used: set[str] = set()
    for path in MODULES:
        for module, name in imported(path):
            if module.split(".")[0] not in sys.stdlib_module_names | {"tokend_server"}:
                used |= distribution_of(module, name)
    assert used == declared() - OTHERWISE_USED


def test_private_parts_of_libraries_are_used_in_modules_that_check_them() -> None:
    for path in MODULES:
        if path.name.endswith("_internals.py"):
            assert "\nrequire(" in path.read_text(encoding="utf-8"), path
            continue
        private = [
            (module, name)
            for module, name in imported(path)
            if not module.startswith("tokend") and any(part.startswith("_") for part in f"{module}.{name}".split("."))
        ]
        assert not [each for each in private if each[0] != "__future__"], path
        assert "noqa: SLF001" not in path.read_text(encoding="utf-8"), path
