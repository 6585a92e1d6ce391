import json
import weakref
from datetime import UTC, datetime
from typing import Any, get_type_hints

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokend_server.access.audit.record import (
    HIDDEN,
    MAX_IDS,
    MAX_NAMES,
    MAX_TEXT,
    MAX_WHOLE_LINE,
    AuditedRequest,
    AuditedResult,
    AuditEntry,
    to_json,
)
from tokend_server.model import Secret

POOL = "eu-west-1:0d4a2c3b-1111-2222-3333-444455556666"
IDENTITY = "eu-west-1:9d4a2c3b-1111-2222-3333-444455556666"
ISSUED = AuditEntry(
    event_time=1_800_000_000.0625,
    method="GetOpenIdTokenForDeveloperIdentity",
    caller="spiffe://acme.internal/ns/shop/sa/checkout",
    authenticator="mutual_tls",
    request_id="request-1",
    trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
    source_address="10.1.2.3",
    user_agent="grpc-go/1.80",
    request=AuditedRequest(
        identity_pool_id=POOL,
        identity_id=IDENTITY,
        provider_names=("login.acme.shop", "accounts.google.com"),
        token_duration_seconds=600,
        principal_tag_keys=("department",),
    ),
    result=AuditedResult(
        identity_id=IDENTITY,
        outcome="linked",
        key_id="eu-west-1-1",
        expire_time=1_800_000_600,
    ),
    policy="shop",
)
PARTS: dict[str, Any] = {"request": AuditedRequest, "result": AuditedResult}
#: The fields of an entry and of its parts.
FIELDS = [
    *(field for field in AuditEntry._fields if field not in PARTS),
    *(f"{name}.{field}" for name, part in PARTS.items() for field in part._fields),
]
#: Any characters, including lone surrogates.
TEXTS = st.text(st.characters(), max_size=20)
#: Strings beyond every limit.
LONG_TEXTS = st.builds(lambda text, times: text * times, st.text(min_size=1), st.just(3000))


def entries(texts: st.SearchStrategy[str]) -> st.SearchStrategy[AuditEntry]:
    names = st.lists(texts, max_size=60).map(tuple)
    numbers = {
        "event_time": st.floats(0, 4e9),
        "token_duration_seconds": st.none() | st.integers(-(2**63), 2**63 - 1),
        "expire_time": st.none() | st.integers(0, 2**32),
        "omitted": st.integers(0, 2**63 - 1),
    }

    def built(record: type[Any], **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        kinds = get_type_hints(record)
        members = {name: names if kind == tuple[str, ...] else texts for name, kind in kinds.items()}
        return st.builds(record, **(members | {name: numbers[name] for name in kinds.keys() & numbers} | parts))

    return built(AuditEntry, **{name: built(part) for name, part in PARTS.items()})


ENTRIES = entries(st.text(max_size=3)) | entries(TEXTS) | entries(TEXTS | LONG_TEXTS)


def changed(entry: AuditEntry, field: str, value: object) -> AuditEntry:
    """Returns an entry with another value of one of the `FIELDS`."""
    part, _, name = field.rpartition(".")
    given: dict[str, Any] = {name: value}
    return entry._replace(**({part: getattr(entry, part)._replace(**given)} if part else given))


def event(entry: AuditEntry, event_id: str = "event-1") -> dict[str, Any]:
    recorded: dict[str, Any] = orjson.loads(to_json(entry, event_id))
    return recorded


def test_an_issued_token_is_reported_in_full() -> None:
    assert event(ISSUED) == {
        "eventVersion": "1.08",
        "userIdentity": {"type": "mutual_tls", "principalId": "spiffe://acme.internal/ns/shop/sa/checkout"},
        "eventTime": "2027-01-15T08:00:00.062Z",
        "eventSource": "tokend",
        "eventName": "GetOpenIdTokenForDeveloperIdentity",
        "awsRegion": "eu-west-1",
        "sourceIPAddress": "10.1.2.3",
        "userAgent": "grpc-go/1.80",
        "requestParameters": {
            "identityPoolId": POOL,
            "identityId": IDENTITY,
            "logins": {"login.acme.shop": HIDDEN, "accounts.google.com": HIDDEN},
            "tokenDuration": 600,
            "principalTags": {"department": HIDDEN},
        },
        "responseElements": {"identityId": IDENTITY},
        "additionalEventData": {
            "outcome": "linked",
            "keyId": "eu-west-1-1",
            "expireTime": "2027-01-15T08:10:00Z",
            "policy": "shop",
            "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
        },
        "requestID": "request-1",
        "eventID": "event-1",
        "readOnly": False,
        "resources": [{"type": "AWS::Cognito::IdentityPool"}],
        "eventType": "TokendApiCall",
        "managementEvent": False,
        "eventCategory": "Data",
    }


def test_a_call_without_caller_and_request_data_is_recorded() -> None:
    recorded = event(AuditEntry(0.0, "Method", error_code="UNAUTHENTICATED", error_reason="CALLER_UNAUTHENTICATED"))
    assert recorded["userIdentity"] == {"type": "Unknown"}
    assert recorded["eventTime"] == "1970-01-01T00:00:00.000Z"
    assert (recorded["awsRegion"], recorded["resources"], recorded["requestParameters"]) == ("", [], {})
    assert recorded["responseElements"] is None
    assert (recorded["errorCode"], recorded["errorMessage"]) == ("CALLER_UNAUTHENTICATED", "")
    assert recorded["additionalEventData"] == {"grpcCode": "UNAUTHENTICATED"}


def test_a_failure_without_a_reason_is_reported_by_its_code() -> None:
    recorded = event(ISSUED._replace(error_code="DEADLINE_EXCEEDED", error_text="too late"))
    assert (recorded["errorCode"], recorded["errorMessage"]) == ("DEADLINE_EXCEEDED", "too late")


def test_an_audited_merge_has_its_provider() -> None:
    recorded = event(
        AuditEntry(0.0, "MergeDeveloperIdentities", request=AuditedRequest(developer_provider_name="login.acme.shop"))
    )
    assert recorded["requestParameters"] == {"developerProviderName": "login.acme.shop"}


def test_an_intent_entry_is_marked() -> None:
    assert event(AuditEntry(0.0, "Method", phase="intent"))["additionalEventData"] == {"phase": "intent"}


@pytest.mark.parametrize(
    ("method", "read_only"),
    [
        ("GetOpenIdTokenForDeveloperIdentity", False),
        ("LookupDeveloperIdentity", True),
        ("MergeDeveloperIdentities", False),
        ("UnlinkDeveloperIdentity", False),
        ("not known", False),
    ],
)
def test_lookups_are_read_only_events(method: str, read_only: bool) -> None:  # noqa: FBT001 - a table's column
    assert event(ISSUED._replace(method=method))["readOnly"] is read_only


@given(entry=ENTRIES)
def test_any_entry_is_one_line_of_ascii_json(entry: AuditEntry) -> None:
    line = to_json(entry, "event-1")
    assert not set(line) - set(range(0x20, 0x80))
    assert orjson.loads(line) == json.loads(line)


@given(entry=ENTRIES, method=st.text(), user_agent=st.text(max_size=MAX_TEXT))
def test_texts_within_the_limit_are_not_cut(entry: AuditEntry, method: str, user_agent: str) -> None:
    recorded = event(entry._replace(method=method[:MAX_TEXT], user_agent=user_agent))
    assert (recorded["eventName"], recorded["userAgent"]) == (method[:MAX_TEXT], user_agent)


def test_a_long_text_is_reported_whole_in_a_short_line_and_cut_in_a_long_one() -> None:
    assert event(ISSUED._replace(user_agent="x" * 1000))["userAgent"] == "x" * 1000
    left = MAX_WHOLE_LINE - len(to_json(ISSUED._replace(user_agent=""), "event-1"))
    assert event(ISSUED._replace(user_agent="x" * left))["userAgent"] == "x" * left
    assert event(ISSUED._replace(user_agent="x" * (left + 1)))["userAgent"] == "x" * (MAX_TEXT - 1) + "…"


def test_a_text_that_just_fits_is_reported_whole_in_a_long_line() -> None:
    recorded = event(ISSUED._replace(user_agent="x" * MAX_WHOLE_LINE, source_address="y" * MAX_TEXT))
    assert recorded["sourceIPAddress"] == "y" * MAX_TEXT


def test_a_long_caller_name_and_error_text_are_not_cut() -> None:
    caller, text = "spiffe://acme.internal/".ljust(2048, "x"), "y" * 2048
    recorded = event(ISSUED._replace(caller=caller, error_code="INTERNAL", error_text=text, user_agent="x" * 9000))
    assert (recorded["userIdentity"]["principalId"], recorded["errorMessage"]) == (caller, text)


@pytest.mark.parametrize("count", [MAX_NAMES, MAX_NAMES + 1, 1000])
def test_names_beyond_the_limit_are_omitted(count: int) -> None:
    names = tuple(f"name {number}" for number in range(count))
    request = AuditedRequest(provider_names=names, principal_tag_keys=names)
    asked = event(ISSUED._replace(request=request))["requestParameters"]
    expected = list(names) if count == MAX_NAMES else [*names[: MAX_NAMES - 1], "…"]
    assert (list(asked["logins"]), list(asked["principalTags"])) == (expected, expected)


@pytest.mark.parametrize("count", [MAX_IDS, MAX_IDS + 1, 1000])
def test_ids_beyond_the_limit_are_omitted(count: int) -> None:
    ids = tuple(f"{IDENTITY}{number}" for number in range(count))
    request, result = AuditedRequest(identity_ids=ids), AuditedResult(unprocessed_identity_ids=ids)
    recorded = event(ISSUED._replace(request=request, result=result))
    expected = list(ids) if count == MAX_IDS else [*ids[: MAX_IDS - 1], "…"]
    assert recorded["requestParameters"]["identityIdsToDelete"] == expected
    assert recorded["additionalEventData"]["unprocessedIdentityIds"] == expected


class Text(str):
    """A string that may be omitted."""

    __slots__ = ("__weakref__",)


def is_cached(field: str, *before: str) -> bool:
    """Returns whether a long string in an entry, after others, stays in memory after it was written."""
    text = Text("x" * MAX_WHOLE_LINE)
    kept = weakref.ref(text)
    to_json(changed(ISSUED, field, (*before, text) if before else text), "event-1")
    del text
    return kept() is not None


@pytest.mark.parametrize("field", ["user_agent", "request.identity_pool_id"])
def test_a_long_text_is_not_cached(field: str) -> None:
    assert not is_cached(field)


@pytest.mark.parametrize(
    ("field", "most"),
    [
        ("request.provider_names", MAX_NAMES),
        ("request.principal_tag_keys", MAX_NAMES),
        ("request.identity_ids", MAX_IDS),
    ],
)
def test_an_omitted_text_is_not_cached(field: str, most: int) -> None:
    assert not is_cached(field, *map(str, range(most)))


def test_a_line_is_bounded() -> None:
    most = "\U0001f600" * 100_000
    names = tuple(f"{number}{most}" for number in range(99))

    def longest(record: type[Any], **parts: object) -> Any:  # noqa: ANN401 - an entry or one of its parts
        values = {str: most, str | None: most, tuple[str, ...]: names}
        return record(**({name: values.get(kind, 0) for name, kind in get_type_hints(record).items()} | parts))

    entry = longest(AuditEntry, **{name: longest(part) for name, part in PARTS.items()})
    assert len(to_json(entry, "event-1")) < 850_000


def test_a_lone_surrogate_is_escaped() -> None:
    request = AuditedRequest(identity_ids=("\ud800",))
    recorded = event(ISSUED._replace(user_agent="a\ud800b", request=request))
    assert (recorded["userAgent"], recorded["requestParameters"]["identityIdsToDelete"]) == (r"a\ud800b", [r"\ud800"])


def test_the_delete_character_is_escaped() -> None:
    line = to_json(AuditEntry(event_time=0.0, method="X", user_agent="a\x7fb"), "id")
    assert b"\x7f" not in line
    assert json.loads(line)["userAgent"] == "a\x7fb"


def test_an_entry_has_no_field_for_login_or_tag_values() -> None:
    plain = (str, str | None, int, int | None, float, tuple[str, ...])
    for record, parts in ((AuditEntry, set(PARTS)), (AuditedRequest, set()), (AuditedResult, set())):
        assert {name for name, kind in get_type_hints(record).items() if kind not in plain} == parts


@pytest.mark.parametrize("field", FIELDS)
def test_a_secret_that_strays_into_an_entry_is_not_shown(field: str) -> None:
    stray: Any = Secret("canary-4711")
    if "names" in field or "keys" in field:
        stray = (stray,)
    entry = changed(ISSUED._replace(error_code="INTERNAL"), field, stray)
    with pytest.raises((TypeError, AttributeError, ValueError)) as failed:
        to_json(entry, "event-1")
    assert "canary" not in str(failed.value)


@given(time=st.integers(0, 2**32 * 1000))
def test_times_are_in_utc_to_the_millisecond(time: int) -> None:
    recorded = event(ISSUED._replace(event_time=time / 1000))["eventTime"]
    assert recorded.endswith("Z")
    assert datetime.fromisoformat(recorded) == datetime.fromtimestamp(time // 1000, UTC).replace(
        microsecond=time % 1000 * 1000
    )


@pytest.mark.parametrize("operation", ["CreateIdentityPool", "DescribeIdentityPool", "DeleteIdentities"])
def test_operations_on_pools_are_management_events(operation: str) -> None:
    recorded = event(AuditEntry(0.0, operation))
    assert (recorded["managementEvent"], recorded["eventCategory"]) == (True, "Management")
    assert recorded["readOnly"] == operation.startswith("Describe")


def test_operations_of_devices_are_data_events() -> None:
    recorded = event(AuditEntry(0.0, "GetId"))
    assert (recorded["managementEvent"], recorded["eventCategory"]) == (False, "Data")


def test_a_call_without_a_pool_is_recorded_with_the_region_of_its_signature() -> None:
    request, result = AuditedRequest(region="eu-west-2"), AuditedResult(identity_pool_id="eu-west-2:0")
    recorded = event(AuditEntry(0.0, "CreateIdentityPool", request=request, result=result))
    assert recorded["awsRegion"] == "eu-west-2"
    assert recorded["responseElements"] == {"identityPoolId": "eu-west-2:0"}
