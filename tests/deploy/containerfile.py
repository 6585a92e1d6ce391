"""Parses the instructions of a Containerfile, as far as tokend's uses them."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple


class Instruction(NamedTuple):
    """One instruction; `flags` precede its arguments, such as `--from=build`."""

    name: str
    flags: Sequence[str]
    text: str

    @property
    def words(self) -> list[str]:
        """Returns the arguments of an exec form; otherwise the words."""
        return list(json.loads(self.text)) if self.text.startswith("[") else self.text.split()


def instructions(containerfile: Path) -> Iterator[Instruction]:
    """Returns all instructions in their order."""
    lines = [line for line in containerfile.read_text("utf-8").splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if match := re.fullmatch(r"([A-Z]+)\s+((?:--[a-z-]+=\S+\s+)*)(.*)", line):
            yield Instruction(match[1], match[2].split(), match[3])
