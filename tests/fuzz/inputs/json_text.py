"""Valid, changed and malformed JSON texts."""

import json
from collections.abc import Mapping, Sequence

from tests.fuzz.choices import Choices, Json
from tests.fuzz.tokens import NOW

_VALUES = (
    *("null", "true", "0", "-1", "1.5", "[]", "{}", '""', '"a"', '["a"]', "[[]]", "[null]", '{"a":[1]}', "-0"),
    *("1e400", "-1e400", "1e308", "-1e308", "1E-400", "1" * 300, "-" + "9" * 299, "1" * 4299, "-" + "9" * 4299),
    *('"\\ud800"', '"\\u0000"', '"\\n"', '"\\u202e"', '"\\ud83d\\ude00"', '"' + "a" * 2000 + '"'),
)
_NO_VALUES = (
    *("NaN", "-Infinity", "01", "1 2", "\ufeff1", "9" * 5000, "[" * 3000 + "]" * 3000, '{"a":' * 3000, "'a'", ""),
    *('"\\x"', '"\n"', '"a', "1,", "tru"),
)


def _raw(choices: Choices) -> str:
    """Returns the text of a JSON value, or rarely malformed text."""
    if choices.rarely(25):
        return choices.one(*_NO_VALUES)
    return choices.made(
        lambda: choices.one(*_VALUES),
        lambda: f"{NOW + choices.number(-400, 400)}{choices.one('', '.5', 'e0')}",
        lambda: json.dumps(choices.text()),
    )


def changed(choices: Choices, members: Mapping[str, Json], names: Sequence[str]) -> str:
    """Returns the JSON text of an object with some members changed, missing or duplicated."""
    written = [(json.dumps(name), json.dumps(value)) for name, value in members.items()]
    if choices.rarely(30):
        return _raw(choices)
    for _ in range(choices.number(0, 3)):
        name = json.dumps(choices.text() if choices.rarely(8) else choices.one(*names))
        how = choices.one("instead", "instead", "besides", "gone")
        if how != "besides":
            written = [member for member in written if member[0] != name]
        if how != "gone":
            written.append((name, _raw(choices)))
    return "{" + ",".join(f"{name}:{value}" for name, value in written) + "}"
