"""Authorization: the first policy row that matches a call allows it; a call without such a row is denied."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from tokend_server.callers.patterns import matches

EVERYTHING = "*"

#: The number of decisions that are cached.
_MAX_CACHED = 10_000


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """A row of the policy: the operations that some callers may call on some pools.

    Attributes:
        name: The name of the row in the configuration.
        callers: Patterns of callers' names.
        pools: Identity pool ids, or `*`.
        operations: Names of operations, or `*`.
        max_token_duration: The maximum duration of a token.
        principal_tag_keys: The keys of principal tags that may be set, or `*`.
    """

    name: str
    callers: tuple[str, ...]
    pools: frozenset[str]
    operations: frozenset[str]
    max_token_duration: timedelta
    principal_tag_keys: frozenset[str]

    def matches_caller(self, caller: str) -> bool:
        """Returns whether the row matches a caller."""
        return any(matches(pattern, caller) for pattern in self.callers)

    def matches_pool(self, identity_pool_id: str) -> bool:
        """Returns whether the row matches a pool."""
        return bool(self.pools & {identity_pool_id, EVERYTHING})

    def matches_operation(self, operation: str) -> bool:
        """Returns whether the row matches an operation."""
        return bool(self.operations & {operation, EVERYTHING})

    def allows_tag(self, key: str) -> bool:
        """Returns whether the row allows principal tags with this key."""
        return bool(self.principal_tag_keys & {key, EVERYTHING})


#: The only row if no policy is configured.
UNRESTRICTED = PolicyRow(
    name="",
    callers=("**",),
    pools=frozenset({EVERYTHING}),
    operations=frozenset({EVERYTHING}),
    max_token_duration=timedelta(days=1),
    principal_tag_keys=frozenset({EVERYTHING}),
)


class Policy:
    """The policy: all rows, in order.

    Attributes:
        rows: The rows; without a policy, one row that allows everything.

    Args:
        rows: The rows; if empty, everything is allowed.
        pools: The declared pools. Only rows for every pool match other pools, which share one cache entry.
    """

    def __init__(self, rows: Sequence[PolicyRow], pools: Sequence[str]) -> None:
        self.rows = tuple(rows) or (UNRESTRICTED,)
        self._pools = frozenset(pools)
        self._decided: Callable[[str, str, str], PolicyRow | None] = lru_cache(_MAX_CACHED)(self._decide)

    def decide(self, caller: str, operation: str, identity_pool_id: str) -> PolicyRow | None:
        """Returns the first row that matches; None if the call is denied."""
        return self._decided(caller, operation, identity_pool_id if identity_pool_id in self._pools else "")

    def allows_on_any_pool(self, caller: str, operation: str) -> bool:
        """Returns whether a row allows the caller the operation on any pool."""
        return any(row.matches_operation(operation) and row.matches_caller(caller) for row in self.rows)

    def _decide(self, caller: str, operation: str, identity_pool_id: str) -> PolicyRow | None:
        for row in self.rows:
            if row.matches_operation(operation) and row.matches_pool(identity_pool_id) and row.matches_caller(caller):
                return row
        return None
