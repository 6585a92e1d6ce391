"""Programs in Java that tests run, each built once per machine from its Maven project."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from platformdirs import user_cache_path
from tests.clients.toolchains import SHORT_LIVED_JVM, need, run

DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.9.0"


def java_program(project: Path, main_class: str, what: str) -> list[str]:
    """Returns the command that runs a program.

    Args:
        project: The directory of its Maven project.
        main_class: The full name of its main class.
        what: The name of the tests that are skipped without Java or Maven.
    """
    need("javac", what)
    maven = need("mvn", what)
    root = user_cache_path("tokend-tests") / f"{main_class}-{_digest(project)}"
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_built(root):
            _build(maven, project, root)
    return ["java", *SHORT_LIVED_JVM, "-cp", _class_path(root), main_class]


def _build(maven: str, project: Path, root: Path) -> None:
    for path in _sources(project):
        copy = root / path.relative_to(project)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    goals = ["compile", f"{DEPENDENCY_PLUGIN}:build-classpath", "-Dmdep.outputFile=dependencies"]
    run([maven, "-B", "-q", *goals], root, os.environ | {"MAVEN_OPTS": " ".join(SHORT_LIVED_JVM)})


def _is_built(root: Path) -> bool:
    """Returns whether all files of the program exist, including the dependencies in Maven's repository."""
    return (root / "dependencies").exists() and all(Path(part).exists() for part in _class_path(root).split(":"))


def _class_path(root: Path) -> str:
    return f"{root / 'target' / 'classes'}:{(root / 'dependencies').read_text(encoding='utf-8').strip()}"


def _digest(project: Path) -> str:
    digest = hashlib.sha256()
    for path in _sources(project):
        digest.update(f"{path.relative_to(project)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _sources(project: Path) -> Iterator[Path]:
    yield project / "pom.xml"
    yield from sorted(path for path in (project / "src").rglob("*") if path.is_file())
