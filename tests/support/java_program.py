"""Programs in Java that tests run, each built once per machine from its Maven project."""

import os
from functools import partial
from pathlib import Path

from tests.clients.toolchains import SHORT_LIVED_JVM, need, run
from tests.support.machine_cache import cached_build

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
    files = [project / "pom.xml", *sorted(path for path in (project / "src").rglob("*") if path.is_file())]
    root = cached_build(main_class, project, files, partial(_build, maven), _is_usable)
    return ["java", *SHORT_LIVED_JVM, "-cp", _class_path(root), main_class]


def _build(maven: str, root: Path) -> None:
    goals = ["compile", f"{DEPENDENCY_PLUGIN}:build-classpath", "-Dmdep.outputFile=dependencies"]
    run([maven, "-B", "-q", *goals], root, os.environ | {"MAVEN_OPTS": " ".join(SHORT_LIVED_JVM)})


def _is_usable(root: Path) -> bool:
    """Returns whether all files of the program exist, including the dependencies in Maven's repository."""
    return (root / "dependencies").exists() and all(Path(part).exists() for part in _class_path(root).split(":"))


def _class_path(root: Path) -> str:
    return f"{root / 'target' / 'classes'}:{(root / 'dependencies').read_text(encoding='utf-8').strip()}"
