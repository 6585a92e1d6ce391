"""The types of request members, under the names of the AWS service model: string, integer, long and map.

Each has its `name` there, the `sample` of `--generate-cli-skeleton`, and its `limits` for the help. `from_text` parses
the value of an option, `from_json` a member of a document. Both raise `InvalidInput` for another type, or for a value
below the minimum, as the AWS CLI does. The service checks the maximum.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from tokend_client.tokendctl import json_document, paramfile, shorthand
from tokend_client.tokendctl.errors import InvalidInput

Value: TypeAlias = str | int | dict[str, str]


@dataclass(frozen=True, slots=True)
class String:
    """A string with limits of its length in characters."""

    minimum: int
    maximum: int
    name: str = "string"
    sample: str = ""

    @property
    def limits(self) -> str:
        return f"{self.minimum} to {self.maximum} characters"

    def from_text(self, text: str) -> str:
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise InvalidInput("not valid Unicode")
        if len(text) < self.minimum:
            raise InvalidInput(f"{'empty' if not text else 'too short'}, expected {self.limits}")
        return text

    def from_json(self, value: object) -> str:
        if not isinstance(value, str):
            raise InvalidInput(f"expected a string, found {json_document.type_name(value)}")
        return self.from_text(value)


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer of the given width: 32 bits for AWS's integer, 64 for its long."""

    bits: int
    minimum: int
    maximum: int
    sample: int = 0

    @property
    def name(self) -> str:
        return {32: "integer", 64: "long"}[self.bits]

    @property
    def limits(self) -> str:
        return f"{self.minimum} to {self.maximum}"

    def from_text(self, text: str) -> int:
        # A signed number of 64 bits has at most 19 digits.
        match = re.fullmatch(r"\s*([+-]?[0-9]{1,19})\s*", text)
        if match is None:
            raise InvalidInput(self._expected)
        return self.from_json(int(match[1]))

    def from_json(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidInput(f"{self._expected}, found {json_document.type_name(value)}")
        if not -(1 << self.bits - 1) <= value < 1 << self.bits - 1:
            raise InvalidInput(self._expected)
        if value < self.minimum:
            raise InvalidInput(f"too small, expected {self.limits}")
        return value

    @property
    def _expected(self) -> str:
        return f"expected an integer of {self.bits} bits"


@dataclass(frozen=True, slots=True)
class StringMap:
    """A map of strings. As an option, it is shorthand or JSON."""

    key: String
    value: String
    maximum: int
    name: str = "map"

    @property
    def sample(self) -> dict[str, str]:
        return {"KeyName": ""}

    @property
    def limits(self) -> str:
        return f"up to {self.maximum} entries, keys of {self.key.limits}, values of {self.value.limits}"

    def from_text(self, text: str) -> dict[str, str]:
        if text.lstrip().startswith(("{", "[")):
            return self._read(json_document.parse_object(text).members)
        entries = shorthand.parse(text)
        return self._read((key, paramfile.load(value) if loads else value) for key, value, loads in entries)

    def from_json(self, value: object) -> dict[str, str]:
        return self._read(json_document.to_object(value).members)

    def _read(self, entries: Iterable[tuple[str, object]]) -> dict[str, str]:
        values: dict[str, str] = {}
        problems: list[str] = []
        keys: Counter[str] = Counter()
        for key, value in entries:
            keys[key] += 1
            try:
                values[self.key.from_text(key)] = self.value.from_json(value)
            except InvalidInput as invalid:
                problems += invalid.within(f"key {key!r}").problems
        problems += [f"key {key!r}: given {count} times" for key, count in keys.items() if count > 1]
        if problems:
            raise InvalidInput(*problems)
        return values


Kind: TypeAlias = String | Integer | StringMap
