"""The header `traceparent` of W3C Trace Context."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokend_server.rpc.trace_context import trace_id_of

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"
VALID = f"00-{TRACE_ID}-{PARENT_ID}-01"


@pytest.mark.parametrize("flags", ["00", "01", "02", "03", "fe", "ff"])
def test_all_flags_are_accepted(flags: str) -> None:
    assert trace_id_of(f"00-{TRACE_ID}-{PARENT_ID}-{flags}") == TRACE_ID


@pytest.mark.parametrize("more", ["", "-", "-what the future brings", "-00-11"])
@pytest.mark.parametrize("version", ["01", "42", "cc", "fe"])
def test_future_versions_are_parsed_by_their_known_fields(version: str, more: str) -> None:
    assert trace_id_of(f"{version}-{TRACE_ID}-{PARENT_ID}-01{more}") == TRACE_ID


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="nothing"),
        pytest.param(f"00-{'0' * 32}-{PARENT_ID}-01", id="trace id of zeros"),
        pytest.param(f"00-{TRACE_ID}-{'0' * 16}-01", id="parent id of zeros"),
        pytest.param(f"ff-{TRACE_ID}-{PARENT_ID}-01", id="version ff"),
        pytest.param(f"0-{TRACE_ID}-{PARENT_ID}-01", id="short version"),
        pytest.param(f"000-{TRACE_ID}-{PARENT_ID}-01", id="long version"),
        pytest.param(f"00-{TRACE_ID[1:]}-{PARENT_ID}-01", id="short trace id"),
        pytest.param(f"00-{TRACE_ID}0-{PARENT_ID}-01", id="long trace id"),
        pytest.param(f"00-{TRACE_ID}-{PARENT_ID[1:]}-01", id="short parent id"),
        pytest.param(f"00-{TRACE_ID}-{PARENT_ID}0-01", id="long parent id"),
        pytest.param(f"00-{TRACE_ID}-{PARENT_ID}-1", id="short flags"),
        pytest.param(f"00-{TRACE_ID}-{PARENT_ID}", id="no flags"),
        pytest.param(f"00-{TRACE_ID}-{PARENT_ID}-0x", id="flags that are no number"),
        pytest.param(f"00-{TRACE_ID.upper()}-{PARENT_ID}-01", id="trace id in upper case"),
        pytest.param(f"00-{TRACE_ID}-{PARENT_ID.upper()}-01", id="parent id in upper case"),
        pytest.param(f"00-{TRACE_ID}-{PARENT_ID}-0A", id="flags in upper case"),
        pytest.param(f"FE-{TRACE_ID}-{PARENT_ID}-01", id="version in upper case"),
        pytest.param(f"{VALID}-", id="version 00 with more"),
        pytest.param(f"{VALID}-more", id="version 00 with a field"),
        pytest.param(f"{VALID}1", id="version 00 that is longer"),
        pytest.param(f"01-{TRACE_ID}-{PARENT_ID}-01more", id="a later version without a dash"),
        pytest.param(f" {VALID}", id="space before"),
        pytest.param(f"{VALID} ", id="space behind"),
        pytest.param(f"{VALID}\n", id="newline behind"),
        pytest.param(VALID.replace("-", "_"), id="other separators"),
        pytest.param(VALID.replace("4", "٤"), id="digits of another script"),
        pytest.param(f"{VALID},{VALID}", id="a list"),
    ],
)
def test_an_invalid_traceparent_is_ignored(value: str) -> None:
    assert trace_id_of(value) is None


@given(st.from_regex(re.compile(r"\A[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[a-z]*)?\Z", re.ASCII)))
def test_valid_traceparents_are_parsed(value: str) -> None:
    version, trace_id, parent_id, _flags, *more = value.split("-")
    valid = version != "ff" and (version != "00" or not more) and {trace_id, parent_id}.isdisjoint({"0" * 32, "0" * 16})
    assert trace_id_of(value) == (trace_id if valid else None)


@given(st.text() | st.text("0123456789abcdefABCDEF-", min_size=50, max_size=60))
def test_any_text_is_parsed_or_ignored(value: str) -> None:
    trace_id = trace_id_of(value)
    assert trace_id is None or value[3:].startswith(f"{trace_id}-")
