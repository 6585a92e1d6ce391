"""Tests without a toolchain are skipped with a reason, and fail in CI."""

from pathlib import Path

import pytest
from tests.clients.toolchains import need, run


def test_a_missing_tool_skips_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-tool is not installed, so the client is left out"):
        need("no-such-tool", "the client")


def test_in_ci_a_missing_tool_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="in CI nothing may be"):
        need("no-such-tool", "the client")


def test_a_failed_command_shows_the_end_of_its_output(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"(?s)failed:.*52 lines before.*200$"):
        run(["sh", "-c", "seq 201 | head -200; echo 1; seq 200 | tail -1; exit 3"], tmp_path)
    run(["true"], tmp_path)
