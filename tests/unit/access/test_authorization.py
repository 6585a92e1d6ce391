"""Authorization: the first matching row decides, and without a match the call is denied."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokend.v1 import developer_identity_service_pb2
from tokend_server.access import authorization as policy_module
from tokend_server.access.authorization import EVERYTHING, UNRESTRICTED, Policy, PolicyRow
from tokend_server.model import Operation

A, B = "eu-west-1:0a", "eu-west-1:0b"
POOLS = (A, B)
UNKNOWN = "eu-west-1:ff"

GET, LOOKUP, MERGE, UNLINK = Operation
SHOP = "spiffe://acme.internal/ns/shop/sa/checkout"


def row(
    name: str,
    callers: Sequence[str] = ("**",),
    pools: Sequence[str] = (EVERYTHING,),
    operations: Sequence[str] = (EVERYTHING,),
) -> PolicyRow:
    return PolicyRow(name, tuple(callers), frozenset(pools), frozenset(operations), timedelta(minutes=15), frozenset())


def decided(policy: Policy, caller: str, operation: str = GET, pool: str = A) -> str | None:
    """Returns the name of the deciding row; None if denied."""
    found = policy.decide(caller, operation, pool)
    return found.name if found else None


def test_the_operations_are_those_of_the_contract() -> None:
    service = developer_identity_service_pb2.DESCRIPTOR.services_by_name["DeveloperIdentityService"]
    assert tuple(service.methods_by_name) == tuple(Operation)


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("caller", [SHOP, "key:x", "anonymous", ""])
@pytest.mark.parametrize("pool", [A, UNKNOWN, ""])
def test_without_a_policy_everything_is_allowed(caller: str, operation: str, pool: str) -> None:
    allowed = Policy((), POOLS).decide(caller, operation, pool)
    assert allowed is UNRESTRICTED
    assert allowed.allows_tag("department")
    assert allowed.max_token_duration == timedelta(days=1)


@pytest.mark.parametrize(
    ("caller", "operation", "pool"),
    [("key:other", GET, A), (SHOP, LOOKUP, A), (SHOP, GET, B), (SHOP, GET, UNKNOWN), (f"{SHOP}/x", GET, A)],
)
def test_calls_without_a_matching_policy_row_are_denied(caller: str, operation: str, pool: str) -> None:
    policy = Policy([row("shop", ["spiffe://acme.internal/ns/shop/sa/*"], [A], [GET])], POOLS)
    assert decided(policy, SHOP, GET, A) == "shop"
    assert decided(policy, caller, operation, pool) is None


def test_the_first_matching_row_decides() -> None:
    narrow = replace(row("narrow", [SHOP]), max_token_duration=timedelta(minutes=1))
    wide = replace(row("wide"), max_token_duration=timedelta(days=1))
    for rows, expected in (([narrow, wide], "narrow"), ([wide, narrow], "wide")):
        assert decided(Policy(rows, POOLS), SHOP) == expected
    assert decided(Policy([narrow, wide], POOLS), "key:x") == "wide"


def test_a_partially_matching_row_is_skipped() -> None:
    rows = [
        row("another caller", ["key:*"]),
        row("another pool", pools=[B]),
        row("another operation", operations=[UNLINK]),
        row("all", [SHOP, "key:x"], [B, A], [MERGE, GET]),
        row("too late"),
    ]
    assert decided(Policy(rows, POOLS), SHOP, GET, A) == "all"


def test_an_undeclared_pool_matches_only_rows_for_all_pools() -> None:
    # A row may name a pool that is not configured: it still does not exist.
    policy = Policy([row("named", pools=[A, B, UNKNOWN]), row("all", ["key:x"])], POOLS)
    assert decided(policy, SHOP, GET, A) == "named"
    for pool in (UNKNOWN, "", EVERYTHING, A.upper(), f"{A} ", "x" * 10_000):
        assert decided(policy, "key:x", GET, pool) == "all"


def test_an_undeclared_pool_is_denied_without_a_row_for_all_pools() -> None:
    policy = Policy([row("named", pools=[A])], POOLS)
    for pool in (UNKNOWN, "", EVERYTHING):
        assert decided(policy, SHOP, GET, pool) is None


def test_stars_in_caller_names_are_not_patterns() -> None:
    policy = Policy([row("shop", [SHOP], [A], [GET])], POOLS)
    for star in ("*", "**", "spiffe://**"):
        assert decided(policy, star) is None


def test_undeclared_pool_ids_share_one_cached_decision() -> None:
    seen: list[str] = []

    class Watched(Policy):
        def _decide(self, caller: str, operation: str, identity_pool_id: str) -> PolicyRow | None:
            seen.append(identity_pool_id)
            return super()._decide(caller, operation, identity_pool_id)

    policy = Watched([row("a", [SHOP], [A])], POOLS)
    for number in range(1000):
        policy.decide(SHOP, GET, f"eu-west-1:f{number:x}")
        policy.decide(SHOP, GET, A)
    assert seen == ["", A]  # all unknown pools share one decision


def test_the_cache_of_decisions_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_module, "_MAX_CACHED", 3)
    policy = Policy([row("x", ["jwt:issuer:*"])], POOLS)
    for number in range(10):
        assert decided(policy, f"jwt:issuer:{number}") == "x"
    assert policy._decided.cache_info().currsize == 3  # type: ignore[attr-defined] # noqa: SLF001 - nothing else tells


@pytest.mark.parametrize(
    ("allowed", "key", "expected"),
    [
        ((), "department", False),
        (("department",), "department", True),
        (("department",), "Department", False),
        (("department",), "*", False),
        (("*",), "department", True),
        (("*",), "", True),
    ],
)
def test_a_row_allows_tags_by_their_keys(allowed: Sequence[str], key: str, *, expected: bool) -> None:
    assert replace(row("x"), principal_tag_keys=frozenset(allowed)).allows_tag(key) is expected


NAMES = ("key:a", "key:b", "dns:a", "jwt:i:a", "anonymous")
PATTERNS = (*NAMES, "key:*", "*:a", "**", "jwt:**", "*")

ROWS = st.lists(
    st.builds(
        row,
        name=st.text("abc", min_size=1, max_size=4),
        callers=st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2),
        pools=st.lists(st.sampled_from([*POOLS, EVERYTHING]), min_size=1, max_size=2),
        operations=st.lists(st.sampled_from([*Operation, EVERYTHING]), min_size=1, max_size=2),
    ),
    min_size=1,
    max_size=6,
)

CALLS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(Operation), st.sampled_from([*POOLS, UNKNOWN])), max_size=20
)

#: Which of the names each pattern matches, written by hand.
MATCHES = {
    **{name: {name} for name in NAMES},
    "key:*": {"key:a", "key:b"},
    "*:a": {"key:a", "dns:a"},
    "**": set(NAMES),
    "jwt:**": {"jwt:i:a"},
    "*": {"anonymous"},
}


def expected_row(rows: Sequence[PolicyRow], caller: str, operation: str, pool: str) -> PolicyRow | None:
    """Returns the decision by a simple evaluation of each row."""
    for each in rows:
        is_caller = any(caller in MATCHES[pattern] for pattern in each.callers)
        is_operation = "*" in each.operations or operation in each.operations
        is_pool = "*" in each.pools or (pool in POOLS and pool in each.pools)
        if is_caller and is_operation and is_pool:
            return each
    return None


@given(rows=ROWS, calls=CALLS)
def test_decisions_equal_those_of_a_simple_evaluation(
    rows: Sequence[PolicyRow], calls: Sequence[tuple[str, str, str]]
) -> None:
    policy = Policy(rows, POOLS)
    for _ in range(2):  # the second time, they are cached
        for call in calls:
            assert policy.decide(*call) is expected_row(rows, *call)
