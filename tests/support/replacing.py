"""Replaces several parts of a text at once."""

import re
from collections.abc import Mapping


def replaced(text: str, values: Mapping[str, str]) -> str:
    """Returns a text with the keys replaced by their values, of which no part is replaced again.

    One replacement after the other would also change what a former one has inserted, for example a port that begins
    like another, or a directory. Where several keys match, the longest is replaced.
    """
    keys = "|".join(re.escape(key) for key in sorted(values, key=len, reverse=True))
    return re.sub(keys, lambda found: values[found[0]], text) if values else text
