"""The result of a run, as a Markdown table and as JSON."""

from collections.abc import Sequence
from typing import Any

from tests.conformance.differences import ABSENT, Difference, summary
from tests.conformance.names import Json
from tests.conformance.play import Played, Transcript

_HEAD = ("step", "expected", "seen", "result", "sure?", "question of section 7")


def result(played: Played) -> str:
    """Returns `equal`, `differs`, or the reason why there is no result."""
    if played.seen is None:
        return f"not played: {played.why_not}"
    return "differs" if played.differences else "equal"


def differs(transcript: Transcript) -> bool:
    """Reports whether anything differs."""
    return any(played.differences for played in transcript)


def markdown(transcript: Transcript) -> str:
    """Formats the table, and the number of steps by result."""
    rows = [_HEAD, ("---",) * len(_HEAD), *map(_row, transcript)]
    results = [result(played).partition(":")[0] for played in transcript]
    counts = (f"{results.count(name)} {name}" for name in ("equal", "differs", "not played"))
    return "\n".join(["| " + " | ".join(row) + " |" for row in rows]) + f"\n\n{', '.join(counts)}\n"


def as_json(transcript: Transcript) -> list[dict[str, Any]]:
    """Returns the steps with all expectations and results."""
    return [
        {
            "step": played.step.name,
            "operation": played.step.operation,
            "request": played.step.request,
            "expected": played.expected,
            "seen": played.seen,
            "result": result(played),
            "differences": [difference._asdict() for difference in played.differences],
            "certainty": played.step.certainty,
            "situation": played.step.situation or None,
            "section_7": played.step.question and played.step.question.section_7,
            "question": played.step.question and played.step.question.text,
        }
        for played in transcript
    ]


def _row(played: Played) -> Sequence[str]:
    step, question = played.step, played.step.question
    expected, seen = _answers(played)
    asked = f"{question.section_7}: {question.text}" if question else ""
    sure = f"{step.certainty}, {step.situation}" if step.situation else step.certainty
    return [_cell(text) for text in (step.name, expected, seen, result(played), sure, asked)]


def _answers(played: Played) -> tuple[str, str]:
    expected, found = summary(played.expected), played.differences
    if played.seen is None:
        return expected, ""
    if found and found[0].path:
        return _places(found, "expected"), _places(found, "seen")
    if not found and played.step.question is None:
        return expected, "as expected"
    return expected, ": ".join(filter(None, (summary(played.seen), played.seen.get("text"))))


def _places(found: Sequence[Difference], side: str) -> str:
    return "; ".join(f"{each.path}: {_shown(getattr(each, side))}" for each in found)


def _shown(value: Json) -> str:
    return value if value == ABSENT else repr(value)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
