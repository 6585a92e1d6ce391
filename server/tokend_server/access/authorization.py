"""Who may do what: rows that grant, the first that fits decides, and what no row grants is denied."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from tokend_server.callers.patterns import matches

EVERYTHING = "*"

#: How many decisions are kept; callers, operations and declared pools make few of them.
_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """What some callers may do.

    Attributes:
        name: What the configuration calls the row.
        callers: Patterns of callers' names.
        pools: Identity pool ids, or `*`.
        operations: Names of operations, or `*`.
        max_token_duration: The longest life of a token.
        principal_tag_keys: The tags that may be set, or `*`.
    """

    name: str
    callers: tuple[str, ...]
    pools: frozenset[str]
    operations: frozenset[str]
    max_token_duration: timedelta
    principal_tag_keys: frozenset[str]

    def fits_caller(self, caller: str) -> bool:
        """Whether the row is about the caller."""
        return any(matches(pattern, caller) for pattern in self.callers)

    def fits_pool(self, identity_pool_id: str) -> bool:
        """Whether the row is about the pool."""
        return bool(self.pools & {identity_pool_id, EVERYTHING})

    def fits_operation(self, operation: str) -> bool:
        """Whether the row is about the operation."""
        return bool(self.operations & {operation, EVERYTHING})

    def allows_tag(self, key: str) -> bool:
        """Whether the row lets a principal tag of that key be set."""
        return bool(self.principal_tag_keys & {key, EVERYTHING})


#: The one row where there is no policy.
UNRESTRICTED = PolicyRow(
    name="",
    callers=("**",),
    pools=frozenset({EVERYTHING}),
    operations=frozenset({EVERYTHING}),
    max_token_duration=timedelta(days=1),
    principal_tag_keys=frozenset({EVERYTHING}),
)


class Policy:
    """All rows, in order.

    Attributes:
        rows: The rows; where there is no policy, one that allows everything.

    Args:
        rows: The rows; without any, everybody may do everything.
        pools: The pools that exist. All others are one to the policy: only rows for every pool fit them.
    """

    def __init__(self, rows: Sequence[PolicyRow], pools: Sequence[str]) -> None:
        self.rows = tuple(rows) or (UNRESTRICTED,)
        self._pools = frozenset(pools)
        self._decided: Callable[[str, str, str], PolicyRow | None] = lru_cache(_KEPT)(self._decide)

    def decide(self, caller: str, operation: str, identity_pool_id: str) -> PolicyRow | None:
        """The first row that fits, or None: denied."""
        return self._decided(caller, operation, identity_pool_id if identity_pool_id in self._pools else "")

    def allows_somewhere(self, caller: str, operation: str) -> bool:
        """Whether there is a pool for which a row may let the caller do the operation."""
        return any(row.fits_operation(operation) and row.fits_caller(caller) for row in self.rows)

    def _decide(self, caller: str, operation: str, identity_pool_id: str) -> PolicyRow | None:
        for row in self.rows:
            if row.fits_operation(operation) and row.fits_pool(identity_pool_id) and row.fits_caller(caller):
                return row
        return None
