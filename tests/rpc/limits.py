"""The limits of every request field in the contract, as values that comply with or break them.

A case sets one field of a valid request. `violations` are the expected ones in the BadRequest; empty means that the
request reaches the engine.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from tests.support.grpc_service import LONGEST_POOL_ID, SHORTEST_POOL_ID, VALID

#: One character, four bytes, two UTF-16 units.
WIDE = "😀"

NULL = "Member must not be null"
EMPTY = "Member must have length greater than or equal to 1"
POOL_ID_PATTERN = r"Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+"
PROVIDER_PATTERN = r"Member must satisfy regular expression pattern: [\w._-]+"
TOKEN_PATTERN = r"Member must satisfy regular expression pattern: [\S]+"  # a pattern, not a secret
WHOLE = "Member must be a whole number of seconds"


def longest(length: int) -> str:
    return f"Member must have length less than or equal to {length}"


def least(value: int) -> str:
    return f"Member must have value greater than or equal to {value}"


def most(value: int) -> str:
    return f"Member must have value less than or equal to {value}"


@dataclass(frozen=True)
class Case:
    """A value of one field of a method's request, and its violations: (path, constraint) of each."""

    method: str
    field: str
    value: object
    violations: tuple[tuple[str, str], ...] = ()

    @property
    def request(self) -> Message:
        return changed(self.method, {self.field: self.value})


def changed(method: str, values: dict[str, object]) -> Message:
    """Returns the valid request of a method with other values in some fields; None clears a field."""
    request = type(VALID[method])()
    request.CopyFrom(VALID[method])
    for name in values:
        request.ClearField(name)
    given = {name: value for name, value in values.items() if value is not None}
    request.MergeFrom(type(request)(**given))
    return request


def ids(method: str, field: str, *, required: bool, pool: bool = False) -> Iterator[Case]:
    """REGION:GUID. Only known pools pass the checks, so that there are fewer valid values of a pool id here."""
    good = (SHORTEST_POOL_ID, LONGEST_POOL_ID) if pool else (SHORTEST_POOL_ID, LONGEST_POOL_ID, "__--:-", "-:f")
    for value in good:
        yield Case(method, field, value)
    yield Case(method, field, None, ((field, NULL),) if required else ())
    yield Case(method, field, LONGEST_POOL_ID + "0", ((field, longest(55)),))
    yield Case(method, field, "z" * 56, ((field, longest(55)), (field, POOL_ID_PATTERN)))
    for value in ("us-east-1", ":0", "r:", "r:0:0", "r:A", "r:g", "é:0", "r:\u0660", "r:0\n", " r:0", "r.s:0"):
        yield Case(method, field, value, ((field, POOL_ID_PATTERN),))


def users(method: str, field: str, *, required: bool) -> Iterator[Case]:
    """User identifiers, which have no pattern."""
    for value in ("a", "a" * 1024, WIDE * 1024, " ", "\n", "\x00", "b\u0308"):
        yield Case(method, field, value)
    yield Case(method, field, None, ((field, NULL),) if required else ())
    for value in ("a" * 1025, WIDE * 1025):
        yield Case(method, field, value, ((field, longest(1024)),))


def providers(method: str, field: str) -> Iterator[Case]:
    for value in ("p", "a.B_9-" * 21 + "ab"):
        yield Case(method, field, value)
    yield Case(method, field, None, ((field, NULL),))
    yield Case(method, field, "p" * 129, ((field, longest(128)),))
    yield Case(method, field, "p" * 128 + "/", ((field, longest(128)), (field, PROVIDER_PATTERN)))
    for value in ("a b", "a/b", "a:b", "é", "a\n"):
        yield Case(method, field, value, ((field, PROVIDER_PATTERN),))


def maps(method: str, field: str, *, entries: int, longest_value: int, required: bool) -> Iterator[Case]:
    def numbered(count: int) -> dict[str, str]:
        return {f"name-{number}": "value" for number in range(count)}

    good: list[dict[str, str]] = [numbered(1), numbered(entries), {"n": "v"}, {"n" * 128: "v" * longest_value}]
    for value in (*good, {WIDE * 128: WIDE * longest_value}, {" ": "\n"}):
        yield Case(method, field, value)
    yield Case(method, field, None, ((field, NULL),) if required else ())
    yield Case(
        method, field, numbered(entries + 1), ((field, f"Map must have length less than or equal to {entries}"),)
    )
    key, value_path = f"{field}.key", f"{field}.value"
    yield Case(method, field, {"": "v"}, ((key, EMPTY),))
    yield Case(method, field, {"n" * 129: "v"}, ((key, longest(128)),))
    yield Case(method, field, {WIDE * 129: "v"}, ((key, longest(128)),))
    yield Case(method, field, {"n": ""}, ((value_path, EMPTY),))
    yield Case(method, field, {"n": "v" * (longest_value + 1)}, ((value_path, longest(longest_value)),))
    yield Case(method, field, {"n": "v", "m": WIDE * (longest_value + 1)}, ((value_path, longest(longest_value)),))
    both = ((key, EMPTY), (key, longest(128)))
    yield Case(method, field, {"": "v", "n" * 129: "v"}, both)


def durations(method: str, field: str) -> Iterator[Case]:
    for value in (None, Duration(seconds=1), Duration(seconds=86_400)):
        yield Case(method, field, value)
    for value in (Duration(), Duration(seconds=-1), Duration(seconds=-(2**63))):
        yield Case(method, field, value, ((field, least(1)),))
    for value in (Duration(seconds=86_401), Duration(seconds=2**63 - 1)):
        yield Case(method, field, value, ((field, most(86_400)),))
    for value in (Duration(seconds=1, nanos=1), Duration(seconds=900, nanos=-1)):
        yield Case(method, field, value, ((field, WHOLE),))
    yield Case(method, field, Duration(nanos=999_999_999), ((field, WHOLE), (field, least(1))))


def counts(method: str, field: str) -> Iterator[Case]:
    for value in (None, 0, 1, 60):
        yield Case(method, field, value)
    for value in (-1, -(2**31)):
        yield Case(method, field, value, ((field, least(1)),))
    for value in (61, 2**31 - 1):
        yield Case(method, field, value, ((field, most(60)),))


def page_tokens(method: str, field: str) -> Iterator[Case]:
    for value in (None, "t", "t" * 65_535, WIDE * 65_535):
        yield Case(method, field, value)
    yield Case(method, field, "t" * 65_536, ((field, longest(65_535)),))
    for value in (" ", "a b", "a\n", "\t"):
        yield Case(method, field, value, ((field, TOKEN_PATTERN),))


def cases() -> Iterator[Case]:
    """Every case of every field of the four requests."""
    for method in VALID:
        yield from ids(method, "identity_pool_id", required=True, pool=True)
    get, lookup, merge, unlink = VALID
    yield from ids(get, "identity_id", required=False)
    yield from maps(get, "logins", entries=10, longest_value=50_000, required=True)
    yield from maps(get, "principal_tags", entries=50, longest_value=256, required=False)
    yield from durations(get, "token_duration")
    yield from ids(lookup, "identity_id", required=False)
    yield from users(lookup, "developer_user_identifier", required=False)
    yield from counts(lookup, "max_results")
    yield from page_tokens(lookup, "next_token")
    yield from users(merge, "source_user_identifier", required=True)
    yield from users(merge, "destination_user_identifier", required=True)
    yield from providers(merge, "developer_provider_name")
    yield from ids(unlink, "identity_id", required=True)
    yield from providers(unlink, "developer_provider_name")
    yield from users(unlink, "developer_user_identifier", required=True)


#: Requests that break all their limits at once, with all violations.
ALL_BROKEN: tuple[tuple[str, dict[str, object], tuple[tuple[str, str], ...]], ...] = (
    (
        "GetOpenIdTokenForDeveloperIdentity",
        {
            "identity_pool_id": None,
            "identity_id": "!" * 56,
            "logins": {str(number): "v" * 50_001 for number in range(10)} | {"": ""},
            "principal_tags": {"n" * 129: "v" * 257, "": ""} | {str(number): "v" for number in range(49)},
            "token_duration": Duration(seconds=86_401, nanos=1),
        },
        (
            ("identity_pool_id", NULL),
            ("identity_id", longest(55)),
            ("identity_id", POOL_ID_PATTERN),
            ("logins", "Map must have length less than or equal to 10"),
            ("logins.key", EMPTY),
            ("logins.value", EMPTY),
            ("logins.value", longest(50_000)),
            ("principal_tags", "Map must have length less than or equal to 50"),
            ("principal_tags.key", EMPTY),
            ("principal_tags.key", longest(128)),
            ("principal_tags.value", EMPTY),
            ("principal_tags.value", longest(256)),
            ("token_duration", WHOLE),
            ("token_duration", most(86_400)),
        ),
    ),
    (
        "LookupDeveloperIdentity",
        {
            "identity_pool_id": "!" * 56,
            "identity_id": "!",
            "developer_user_identifier": "u" * 1025,
            "max_results": 61,
            "next_token": " " * 65_536,
        },
        (
            ("identity_pool_id", longest(55)),
            ("identity_pool_id", POOL_ID_PATTERN),
            ("identity_id", POOL_ID_PATTERN),
            ("developer_user_identifier", longest(1024)),
            ("max_results", most(60)),
            ("next_token", longest(65_535)),
            ("next_token", TOKEN_PATTERN),
        ),
    ),
    (
        "MergeDeveloperIdentities",
        {
            "source_user_identifier": None,
            "destination_user_identifier": "u" * 1025,
            "developer_provider_name": "/" * 129,
            "identity_pool_id": None,
        },
        (
            ("source_user_identifier", NULL),
            ("destination_user_identifier", longest(1024)),
            ("developer_provider_name", longest(128)),
            ("developer_provider_name", PROVIDER_PATTERN),
            ("identity_pool_id", NULL),
        ),
    ),
    (
        "UnlinkDeveloperIdentity",
        {
            "identity_id": None,
            "identity_pool_id": "!" * 56,
            "developer_provider_name": None,
            "developer_user_identifier": None,
        },
        (
            ("identity_id", NULL),
            ("identity_pool_id", longest(55)),
            ("identity_pool_id", POOL_ID_PATTERN),
            ("developer_provider_name", NULL),
            ("developer_user_identifier", NULL),
        ),
    ),
)
