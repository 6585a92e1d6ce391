"""The Go client in its own toolchain, its tests, conformance cases and verifiers against the real server."""

import json
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
from tests.clients.conductor import Harness
from tests.clients.go_tests import passed_go_tests
from tests.clients.guarded import Guarded
from tests.clients.toolchains import BUILD_TIMEOUT, ROOT, need, run

CLIENT = ROOT / "clients" / "go"

#: The client's module and the modules of programs that use it.
MODULES = sorted(path.parent for top in ("clients", "tests") for path in (ROOT / top).rglob("go.mod"))

each_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(ROOT)))

#: Optimized, unlike other programs of a run (pyproject.toml): a test counts allocations. `test_vet` vets all packages.
RACE_TESTS = ("test", "-race", "-count=1", "-vet=off", "-gcflags=all=-dwarf=false")

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT)


@pytest.fixture(scope="module")
def go() -> str:
    return need("go", "the Go client")


@each_module
def test_vet(go: str, module: Path) -> None:
    """Checks, among others, that nothing newer than the module's Go version is used."""
    run([go, "vet", "./..."], module)


@pytest.mark.parametrize("module", [CLIENT, CLIENT / "tokendaws"], ids=lambda module: module.name)
def test_staticcheck(go: str, module: Path) -> None:
    run([go, "run", f"-modfile={CLIENT / 'tools' / 'go.mod'}", "honnef.co/go/tools/cmd/staticcheck", "./..."], module)


@each_module
def test_go_mod_of_each_module_is_tidy(go: str, module: Path) -> None:
    run([go, "mod", "tidy", "-diff"], module)


def test_all_modules_require_the_same_versions(go: str) -> None:
    """What two modules require is compiled once."""
    versions: dict[str, set[str]] = defaultdict(set)
    for module in MODULES:
        described = subprocess.run([go, "mod", "edit", "-json"], cwd=module, check=True, capture_output=True).stdout
        for required in json.loads(described)["Require"] or []:
            versions[required["Path"]].add(required["Version"])
    assert {path: found for path, found in versions.items() if len(found) > 1} == {}


@pytest.mark.usefixtures("go")
def test_the_generated_code_is_that_of_the_contract(tmp_path: Path) -> None:
    run(["sh", "generate.sh", str(tmp_path)], CLIENT)
    assert _files(tmp_path) == _files(CLIENT / "tokendv1")


def test_the_go_tests_and_conformance_cases_pass(go: str, harness: Harness, guarded: Guarded) -> None:
    need("gcc", "the race detector of Go")
    environment = harness.environment | guarded.environment
    passed = passed_go_tests([go, *RACE_TESTS, "-json", "./..."], CLIENT, environment)
    cases = {name.rpartition("/")[2] for name in passed}
    assert [name for name in harness.case_names if name not in cases] == [], "conformance cases that did not pass"


def test_the_tests_of_tokendaws_pass(go: str) -> None:
    run([go, *RACE_TESTS, "./..."], CLIENT / "tokendaws")


def test_the_tests_of_the_examples_pass(go: str) -> None:
    run([go, "test", "-count=1", "-vet=off", "./..."], CLIENT / "examples")


def _files(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in directory.glob("*.go")}
