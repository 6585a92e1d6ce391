"""The progress output of a test run."""

from collections import Counter

from tests.progress import Progress


def test_a_file_that_is_done_is_shown_with_what_runs_and_what_is_left() -> None:
    lines: list[str] = []
    now = iter([0.0, 1.0, 3.4, 9.0])
    progress = Progress(Counter({"a.py": 2, "b.py": 1}), lines.append, lambda: next(now))
    progress.begin("a.py")
    progress.end("a.py")
    assert lines == []
    progress.begin("b.py")
    progress.begin("a.py")
    progress.end("a.py")
    assert lines == ["[2/3] a.py: 3 s; running: b.py"]
    progress.end("b.py")
    assert lines[1:] == ["[3/3] b.py: 8 s"]


def test_a_failure_is_shown_at_once_and_counted() -> None:
    lines: list[str] = []
    progress = Progress(Counter({"a.py": 2}), lines.append, lambda: 0.0)
    progress.begin("a.py")
    progress.fail("a.py::test_b[1]")
    assert lines == ["FAILED a.py::test_b[1]"]
    progress.end("a.py")
    progress.end("a.py")
    assert lines[1:] == ["[2/2] a.py: 0 s, 1 failed"]
