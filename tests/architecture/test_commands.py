"""All commands in the pages exist."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import click
import pytest

from tokend_server.cli import tokend

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *ROOT.glob(".github/*.md"),
    *ROOT.glob("server/**/*.md"),
    *ROOT.glob("clients/**/README.md"),
]
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}


#: The possible prefixes of a command: a runner, a path, or a container command.
_BEFORE = r"uv run |&& |\$ |/bin/| -- | exec [A-Z]+ "


def named(text: str, program: str) -> Iterator[str]:
    """Returns the commands of a program in a page's blocks and code spans, with the words after its name."""
    for block in re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            yield from re.findall(rf"(?:^|{_BEFORE}){program} ([^>#]*)", line)[-1:]
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    yield from re.findall(rf"`(?:[^`]*{_BEFORE})?{program} ([^`]+)`", prose)


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


LEAVES = dict(leaves(tokend))
COMMANDS = sorted(
    {(page, line.strip()) for page, text in TEXTS.items() for line in named(text, "tokend") if line[0] != "-"}
)


def resolve(words: list[str]) -> list[click.Command]:
    """Returns the commands at the start of the words; `a|b` means two of them, and a group means all its commands."""
    first, *rest = words
    for size in (1, 2):
        paths = [(*words[: size - 1], last) for last in words[size - 1].split("|")] if len(words) >= size else []
        if paths and all(path in LEAVES for path in paths):
            return [LEAVES[path] for path in paths]
    assert not rest, words
    return [command for path, command in LEAVES.items() if path[0] == first]


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_a_command_of_the_service_has_the_options_that_a_page_gives_it(page: str, line: str) -> None:
    given = shlex.split(re.sub(r"[\[\]…]|\\(?=\|)", "", line))
    words = list(takewhile("--".__ne__, given))  # the rest is another command
    commands = resolve(words)
    assert commands, page
    for command in commands:
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options


def test_every_command_is_in_the_table() -> None:
    table = TEXTS["README.md"].split("\n## Operate\n")[1].split("\nExit codes")[0]
    rows = re.findall(r"^\| `tokend (.+?)` \| (.*) \|$", table, re.MULTILINE)
    documented = set()
    for line, does in rows:
        words = shlex.split(re.sub(r"[\[\]]|\\(?=\|)", "", line))
        for command in resolve(words):
            documented.add(command)
            options = {option for parameter in command.params for option in parameter.opts}
            assert set(re.findall(r"`(--[a-z-]+)`", does)) <= options
    assert documented == set(LEAVES.values())


def test_every_documented_poe_task_exists() -> None:
    tasks = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["poe"]["tasks"]
    found = {task for text in TEXTS.values() for task in re.findall(r"\bpoe ([a-z-]+)", text)}
    assert found
    assert found <= tasks.keys()
