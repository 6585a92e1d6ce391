"""W3C Trace Context: the trace in the metadata of a call."""

import re
from typing import NamedTuple

#: Future versions may add fields after another dash; version 00 ends with its flags.
_TRACEPARENT = re.compile(
    "(?P<version>[0-9a-f]{2})-(?P<trace_id>[0-9a-f]{32})-(?P<parent_id>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    "(?P<more>-.*)?"
)


class TraceParent(NamedTuple):
    """The contents of the header `traceparent`.

    Attributes:
        trace_id: The id of the trace, 32 lower-case hexadecimal digits.
        parent_id: The id of the caller's span, 16 lower-case hexadecimal digits.
        sampled: Whether the caller records the trace.
    """

    trace_id: str
    parent_id: str
    sampled: bool


def parse_traceparent(value: str) -> TraceParent | None:
    """Parses a `traceparent` (W3C Trace Context, section 3.2); returns None if it is not valid."""
    match = _TRACEPARENT.fullmatch(value)
    if match is None or match["version"] == "ff" or (match["version"] == "00" and match["more"]):
        return None
    if not int(match["trace_id"], 16) or not int(match["parent_id"], 16):
        return None
    return TraceParent(match["trace_id"], match["parent_id"], bool(int(match["flags"], 16) & 1))
