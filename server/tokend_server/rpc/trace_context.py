"""W3C Trace Context: the trace that a call says it belongs to."""

import re
from typing import NamedTuple

#: Versions to come may add fields behind another dash; version 00 ends with its flags.
_TRACEPARENT = re.compile(
    "(?P<version>[0-9a-f]{2})-(?P<trace_id>[0-9a-f]{32})-(?P<parent_id>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    "(?P<more>-.*)?"
)


class TraceParent(NamedTuple):
    """What the header `traceparent` says.

    Attributes:
        trace_id: The trace, as 32 lower-case hexadecimal digits.
        parent_id: The span of the caller, as 16 of them.
        sampled: Whether the caller records the trace.
    """

    trace_id: str
    parent_id: str
    sampled: bool


def parse_traceparent(value: str) -> TraceParent | None:
    """Reads a `traceparent` (W3C Trace Context, section 3.2); None when it is not valid."""
    match = _TRACEPARENT.fullmatch(value)
    if match is None or match["version"] == "ff" or (match["version"] == "00" and match["more"]):
        return None
    if not int(match["trace_id"], 16) or not int(match["parent_id"], 16):
        return None
    return TraceParent(match["trace_id"], match["parent_id"], bool(int(match["flags"], 16) & 1))
