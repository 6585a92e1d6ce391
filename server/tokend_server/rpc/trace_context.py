"""W3C Trace Context: the trace in the metadata of a call."""

import re

#: Future versions may add fields after another dash; version 00 ends with its flags.
_TRACEPARENT = re.compile(
    "(?P<version>[0-9a-f]{2})-(?P<trace_id>[0-9a-f]{32})-(?P<parent_id>[0-9a-f]{16})-[0-9a-f]{2}(?P<more>-.*)?"
)


def trace_id_of(traceparent: str) -> str | None:
    """Returns the trace id in a `traceparent` (W3C Trace Context, section 3.2); None if the header is not valid."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or match["version"] == "ff" or (match["version"] == "00" and match["more"]):
        return None
    return match["trace_id"] if int(match["trace_id"], 16) and int(match["parent_id"], 16) else None
