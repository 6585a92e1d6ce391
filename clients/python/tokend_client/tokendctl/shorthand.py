r"""The shorthand of the AWS CLI for maps: `KEY=VALUE,KEY=VALUE`.

The grammar is that of the AWS CLI's "Using shorthand syntax" page, as far as it describes maps of strings:

    map     = entry *("," entry)
    entry   = key "=" [value] / key "@=" [value]      ; "@=": a value such as file://PATH stands for the file's content
    key     = 1*(letter / digit / "-" / "_" / "." / "#" / "/" / ":") / quoted
    value   = quoted / bare
    quoted  = "'" text "'" / DQUOTE text DQUOTE       ; a backslash goes before the same quote and before a backslash
    bare    = text that does not begin with "=", "[" or "{", has no quotes, no comma but as "\,", and after its first
              character no "]" or "}"

White space around keys, values and signs does not count. One thing is new: a key may be quoted as well, since names of
principal tags may have any character.
"""

import re
from typing import NamedTuple

from tokend_client.tokendctl.errors import InvalidInput

# The possessive "*+" prevents backtracking on texts that do not match.
_QUOTED = r"""'(?:\\['\\]|[^'])*+'|"(?:\\["\\]|[^"])*+\""""
_KEY = r"[A-Za-z0-9\-_.#/:]+"
_BARE = r"""(?:\\,|[^\s"',=\[{])(?:\\,|[^"',\]}])*+"""
_ENTRY = re.compile(
    rf"\s*(?P<key>{_KEY}|{_QUOTED})\s*(?P<sign>@?=)\s*(?P<value>{_QUOTED}|{_BARE}|)\s*(?P<end>,|\Z)",
    re.ASCII,
)


class Entry(NamedTuple):
    """One entry of a map; `loads` is whether its value may refer to a file with the content."""

    key: str
    value: str
    loads: bool


def parse(text: str) -> list[Entry]:
    """Parses a map in shorthand, entry by entry. Keys may be repeated.

    Raises:
        InvalidInput: The text is not such a map.
    """
    entries: list[Entry] = []
    position, more = 0, True
    while more:
        match = _ENTRY.match(text, position)
        if match is None:
            raise InvalidInput(
                f"entry {len(entries) + 1} (from character {position + 1} on) is not KEY=VALUE; "
                "put quotes around a value that has commas, quotes or brackets"
            )
        entries.append(Entry(_unquote(match["key"]), _unquote(match["value"]), match["sign"] == "@="))
        position, more = match.end(), match["end"] == ","
    return entries


def _unquote(token: str) -> str:
    quote = token[:1]
    if quote in {"'", '"'}:
        return re.sub(rf"\\([{quote}\\])", r"\1", token[1:-1])
    return token.replace("\\,", ",").rstrip()
