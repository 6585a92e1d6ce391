"""The Java client in its own toolchain, its tests, conformance cases and verifiers against the real server."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from tests.clients.conductor import Harness
from tests.clients.guarded import Guarded
from tests.clients.toolchains import BUILD_TIMEOUT, ROOT, need, run

CLIENT = ROOT / "clients" / "java"

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT)


def test_build_tests_and_conformance(harness: Harness, guarded: Guarded) -> None:
    need("javac", "the Java client")
    mvn = need("mvn", "the Java client")
    for report in _reports():
        report.unlink()
    run([mvn, "-B", "-q", "verify"], CLIENT, harness.environment | guarded.environment)
    told = {word for report in _reports() for word in re.findall(r"\w+", _told(report))}
    assert [name for name in harness.case_names if name not in told] == [], "conformance cases that did not run"


def _reports() -> list[Path]:
    return list(CLIENT.glob("*/target/*-reports/TEST-*.xml"))


def _told(report: Path) -> str:
    """The names of the tests in a Surefire report, but for those left out, and what the tests have printed."""
    suite = ET.parse(report).getroot()
    names = [test.attrib["name"] for test in suite.iter("testcase") if test.find("skipped") is None]
    return " ".join(names + [printed.text or "" for printed in suite.iter("system-out")])
