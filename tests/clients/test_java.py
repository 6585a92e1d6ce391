"""The Java client in its own toolchain, its tests, conformance cases and verifiers against the real server.

The published artifacts are from the same build, and are used by a project that follows only the README.
"""

import os
import re
import shlex
import subprocess
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET
from zipfile import ZipFile

import pytest
from tests.clients.conductor import Harness
from tests.clients.guarded import Guarded
from tests.clients.pools import POOL_IDS, PROVIDER
from tests.clients.toolchains import BUILD_TIMEOUT, ROOT, SHORT_LIVED_JVM, fail, need, run
from tests.support.java_program import DEPENDENCY_PLUGIN
from tests.support.replacing import replaced

CLIENT = ROOT / "clients" / "java"
README = (CLIENT / "README.md").read_text(encoding="utf-8")
VERSION = "0.1.0"

REPOSITORY_URL = "https://maven.example.internal/releases"
LOCAL_REPOSITORY = Path.home() / ".m2" / "repository"

POM = "{http://maven.apache.org/POM/4.0.0}"

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT)


@pytest.fixture(scope="module")
def repository(harness: Harness, guarded: Guarded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository after the README's publishing step, when all tests have passed."""
    need("javac", "the Java client")
    need("mvn", "the Java client")
    for report in _reports():
        report.unlink()
    directory = tmp_path_factory.mktemp("maven")
    (publish,) = [step for step in blocks("sh") if "altDeploymentRepository" in step]
    words = shlex.split(publish.replace("\\\n", " ").replace(REPOSITORY_URL, directory.as_uri()))
    words.remove("-DskipTests")
    # Installed artifacts would be found without the repository.
    run([*words, "-Dmaven.install.skip=true"], ROOT, harness.environment | guarded.environment)
    return directory / "tokend"


def test_the_java_tests_and_conformance_cases_pass(harness: Harness, repository: Path) -> None:
    assert repository.is_dir()
    reported = {word for report in _reports() for word in re.findall(r"\w+", _text_of(report))}
    assert [name for name in harness.case_names if name not in reported] == [], "conformance cases that did not run"


def test_published_artifacts_are_complete(repository: Path) -> None:
    artifacts = managed(repository)
    assert {path.name for path in repository.iterdir()} == {*artifacts, "tokend-bom", "tokend-java"}
    for artifact in artifacts:
        pom = ET.parse(file(repository, artifact, ".pom")).getroot()
        assert pom.findtext(f"{POM}name")
        assert pom.findtext(f"{POM}description")
        with ZipFile(file(repository, artifact, "-javadoc.jar")) as javadoc:
            assert "index.html" in javadoc.namelist()
        with ZipFile(file(repository, artifact, "-sources.jar")) as sources:
            written = {name.removesuffix(".java") for name in sources.namelist()}
        assert sorted(outermost_classes(repository, artifact) - written) == []


def test_each_jar_is_a_module_and_no_two_share_a_package(repository: Path) -> None:
    artifacts = managed(repository)
    names = {artifact: module_name(file(repository, artifact, ".jar")) for artifact in artifacts}
    assert names["tokend-client"] == "tokend.client"
    assert all(re.fullmatch(r"tokend(\.[a-z]+)+", name) for name in names.values()), names
    assert len(set(names.values())) == len(names)
    packages = Counter(
        package
        for artifact in artifacts
        for package in {name.rpartition("/")[0] for name in outermost_classes(repository, artifact)}
    )
    assert [package for package, jars in packages.items() if jars > 1] == []


def test_the_contract_is_in_the_jar(repository: Path) -> None:
    contract = ROOT / "proto"
    with ZipFile(file(repository, "tokend-proto", ".jar")) as jar:
        packed = {name: jar.read(name) for name in jar.namelist() if name.endswith(".proto")}
    written = {str(path.relative_to(contract)): path.read_bytes() for path in contract.glob("tokend/**/*.proto")}
    assert packed == written


def test_an_empty_project_gets_its_first_token(repository: Path, harness: Harness, tmp_path: Path) -> None:
    project = tmp_path / "project"
    sources = project / "src" / "main" / "java"
    sources.mkdir(parents=True)
    (project / "pom.xml").write_text(project_of(repository), encoding="utf-8")
    (sources / "FirstToken.java").write_text(first_token(harness), encoding="utf-8")
    goals = ["compile", f"{DEPENDENCY_PLUGIN}:build-classpath", "-Dmdep.outputFile=classpath"]
    maven = ["mvn", "-B", "-q", *goals, f"-Dmaven.repo.local={local_repository(tmp_path)}"]
    run(maven, project, os.environ | {"MAVEN_OPTS": " ".join(SHORT_LIVED_JVM)})
    jars = (project / "classpath").read_text(encoding="utf-8").strip()
    assert_gets_a_token(["-cp", f"target/classes:{jars}", "FirstToken"], project)
    assert_gets_a_token(as_a_module(first_token(harness), jars, project), project)
    protobuf = re.findall(r"/(protobuf-java(?:-util)?)-([\d.]+)\.jar", jars)
    assert {name for name, _ in protobuf} == {"protobuf-java", "protobuf-java-util"}
    assert len({version for _, version in protobuf}) == 1, protobuf


def assert_gets_a_token(arguments: list[str], project: Path) -> None:
    command = ["java", *SHORT_LIVED_JVM, *arguments]
    process = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    if process.returncode:
        fail(command, process.stderr)
    identity_id, token = process.stdout.split()
    assert identity_id.partition(":")[0] == POOL_IDS["pool"].partition(":")[0]
    assert token.count(".") == 2


def as_a_module(program: str, jars: str, project: Path) -> list[str]:
    """Compiles the program in a module with the page's requirements, and returns the command that runs it."""
    (needed,) = re.findall(r"requires\s`([a-z.]+)`\sbeside\s`tokend.client`", README)
    source = project / "module" / "first"
    source.mkdir(parents=True)
    (source / "FirstToken.java").write_text(f"package first;\n{program}", encoding="utf-8")
    declared = f"module first {{ requires tokend.client; requires {needed}; }}"
    (source.parent / "module-info.java").write_text(declared, encoding="utf-8")
    files = ["module/module-info.java", "module/first/FirstToken.java"]
    short_lived = [f"-J{option}" for option in SHORT_LIVED_JVM]
    run(["javac", *short_lived, "--module-path", jars, "-d", "target/module", *files], project, os.environ)
    return ["--module-path", f"target/module:{jars}", "--module", "first/first.FirstToken"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def managed(repository: Path) -> list[str]:
    """Returns the artifacts in the BOM."""
    bom = ET.parse(file(repository, "tokend-bom", ".pom"))
    return [found.text or "" for found in bom.iterfind(f".//{POM}dependency/{POM}artifactId")]


def file(repository: Path, artifact: str, end: str) -> Path:
    return repository / artifact / VERSION / f"{artifact}-{VERSION}{end}"


def module_name(jar: Path) -> str:
    with ZipFile(jar) as opened:
        manifest = opened.read("META-INF/MANIFEST.MF").decode()
    (name,) = re.findall(r"^Automatic-Module-Name: (.*?)\r?$", manifest, re.MULTILINE)
    return str(name)


def outermost_classes(repository: Path, artifact: str) -> set[str]:
    with ZipFile(file(repository, artifact, ".jar")) as jar:
        found = {name.removesuffix(".class").partition("$")[0] for name in jar.namelist() if name.endswith(".class")}
    return {name for name in found if not name.endswith("package-info")}


def project_of(repository: Path) -> str:
    parts = blocks("xml")[0]
    return f"""
<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion>
<groupId>example</groupId>
<artifactId>first-token</artifactId>
<version>1</version>
<properties>
<maven.compiler.source>17</maven.compiler.source>
<maven.compiler.target>17</maven.compiler.target>
<project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
</properties>
{parts.replace(REPOSITORY_URL, repository.parent.as_uri())}
</project>
""".strip()


def first_token(harness: Harness) -> str:
    """Returns the README's first program, with the server, pool and provider of this test, and a long deadline.

    Within the call, the program loads most of its classes, which takes seconds on a busy machine.
    """
    (program,) = [block for block in blocks("java") if "class FirstToken" in block]
    own = {
        "127.0.0.1:50051": harness.endpoint,
        "local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21": POOL_IDS["pool"],
        "login.example.internal": PROVIDER,
        ".plaintext()": ".plaintext().deadline(java.time.Duration.ofMinutes(1))",
    }
    assert all(written in program for written in own)
    return replaced(program, own)


def local_repository(directory: Path) -> Path:
    """Returns a copy of this machine's local repository without tokend's artifacts, to reuse dependencies."""
    local = directory / "local"
    local.mkdir()
    for group in LOCAL_REPOSITORY.iterdir() if LOCAL_REPOSITORY.is_dir() else ():
        if group.name != "tokend":
            (local / group.name).symlink_to(group)
    return local


def _reports() -> list[Path]:
    return list(CLIENT.glob("*/target/*-reports/TEST-*.xml"))


def _text_of(report: Path) -> str:
    """Returns the names of the tests in a Surefire report, except skipped ones, and the output of the tests."""
    suite = ET.parse(report).getroot()
    names = [test.attrib["name"] for test in suite.iter("testcase") if test.find("skipped") is None]
    return " ".join(names + [printed.text or "" for printed in suite.iter("system-out")])
