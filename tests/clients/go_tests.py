"""Runs of `go test -json`."""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from tests.clients.toolchains import ended, fail


def passed_go_tests(command: list[str], directory: Path, environment: Mapping[str, str]) -> set[str]:
    """Runs `go test -json`, fails with the output of failed tests, and returns the passed ones."""
    process = ended(command, directory, environment)
    passed: set[str] = set()
    failed: list[str] = []
    printed: dict[str, list[str]] = defaultdict(list)
    for line in process.stdout.splitlines():
        event = json.loads(line) if line.startswith("{") else {"Action": "output", "Output": f"{line}\n"}
        name = event.get("Test") or event.get("Package") or event.get("ImportPath") or ""
        printed[name].append(event.get("Output", ""))
        if event["Action"] == "pass":
            passed.add(name)
        elif event["Action"] in {"fail", "build-fail"}:
            failed.append(name)
    if process.returncode:
        fail(command, "".join("".join(printed[name]) for name in ["", *failed]))
    return passed
