"""Durations with a unit, such as `30d`."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator

#: The value for no duration.
OFF = "off"

_FORM = re.compile(r"([1-9]\d{0,8})([smhd])")
_SECONDS: Mapping[str, int] = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MAX_SECONDS = 3650 * _SECONDS["d"]


def seconds_of(duration: str) -> int | None:
    """Returns the seconds of a duration; None for `off`.

    Raises:
        ValueError: It is not a duration.
    """
    if duration == OFF:
        return None
    found = _FORM.fullmatch(duration)
    if not found:
        raise ValueError('must be a whole number with its unit, such as "30d", "12h", "45m" or "90s", or "off"')
    seconds = int(found[1]) * _SECONDS[found[2]]
    if seconds > _MAX_SECONDS:
        raise ValueError("must not be above 3650d")
    return seconds


def _checked(duration: object) -> object:
    seconds_of(duration if isinstance(duration, str) else "")
    return duration


Duration = Annotated[str, BeforeValidator(_checked)]
