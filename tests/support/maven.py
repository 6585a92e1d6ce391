"""Maven for the build of the Java client.

javac loads the plugins of each compilation anew, and Error Prone, of a thousand classes, takes a second of CPU time to
load: half of what the build takes that compiles each module twice. Where the class path of Maven's own process has
Error Prone and NullAway too, javac's loaders find them there, so that they are loaded once. What they check is as the
build's file has it.
"""

import fcntl
import hashlib
import os
import re
import shlex
from pathlib import Path
from xml.etree import ElementTree as ET

from platformdirs import user_cache_path
from tests.clients.toolchains import ROOT, SHORT_LIVED_JVM, ended, need, run

DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.9.0"

#: The build of the Java client.
BUILD = ROOT / "clients" / "java"

_POM = "{http://maven.apache.org/POM/4.0.0}"


def client_maven() -> list[str]:
    """The command for which `mvn` stands, as its script has it, but with more on the class path."""
    need("javac", "the Java client")
    mvn = need("mvn", "the Java client")
    version = ended([mvn, "-version"], BUILD).stdout
    (home,), (jdk,) = (re.findall(rf"{name}: (.+)$", version, re.MULTILINE) for name in ("^Maven home", "runtime"))
    (launcher,) = Path(home).glob("boot/plexus-classworlds-*.jar")
    return [
        f"{jdk}/bin/java",
        *(BUILD / ".mvn" / "jvm.config").read_text(encoding="utf-8").split(),
        *shlex.split(os.environ.get("MAVEN_OPTS", "")),
        "-classpath",
        f"{launcher}:{_error_prone(mvn)}",
        f"-Dclassworlds.conf={home}/bin/m2.conf",
        f"-Dmaven.home={home}",
        f"-Dlibrary.jansi.path={home}/lib/jansi-native",
        f"-Dmaven.multiModuleProjectDirectory={BUILD}",
        "org.codehaus.plexus.classworlds.launcher.Launcher",
    ]


def _error_prone(mvn: str) -> str:
    """The class path of what the build's compilations have as plugins, which is found once for a machine."""
    pom = _pom_of_plugins()
    root = user_cache_path("tokend-tests") / f"error-prone-{hashlib.sha256(pom.encode()).hexdigest()[:16]}"
    root.mkdir(parents=True, exist_ok=True)
    found = root / "dependencies"
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.exists() or not all(Path(part).exists() for part in _text(found).split(":")):
            (root / "pom.xml").write_text(pom, encoding="utf-8")
            goals = [f"{DEPENDENCY_PLUGIN}:build-classpath", f"-Dmdep.outputFile={found}"]
            run([mvn, "-B", "-q", *goals], root, os.environ | {"MAVEN_OPTS": " ".join(SHORT_LIVED_JVM)})
        return _text(found)


def _pom_of_plugins() -> str:
    """A project that depends on what the build's file names for javac's processor path, in the same versions."""
    build = ET.parse(BUILD / "pom.xml").getroot()
    properties = {each.tag.removeprefix(_POM): each.text or "" for each in build.iterfind(f"{_POM}properties/*")}
    paths = build.iterfind(f".//{_POM}annotationProcessorPaths/{_POM}path")
    members = [{each.tag.removeprefix(_POM): (each.text or "").strip("${}") for each in path} for path in paths]
    dependencies = "".join(
        f"<dependency><groupId>{path['groupId']}</groupId><artifactId>{path['artifactId']}</artifactId>"
        f"<version>{properties[path['version']]}</version></dependency>"
        for path in members
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>tokend.tests</groupId><artifactId>error-prone</artifactId><version>1</version>"
        f"<packaging>pom</packaging><dependencies>{dependencies}</dependencies></project>"
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()
