"""The time series of the service."""

from tokend_server.access.authentication.refusals import Refusal
from tokend_server.errors import TokendError
from tokend_server.metrics import Metrics
from tokend_server.model import CognitoOperation

#: Label values of series that are created on first use.
_EXPECTED = frozenset(
    {
        "calls",
        "concurrent_calls",
        "new_identities",
        *Refusal,
        *CognitoOperation,
        *(str(error.reason) for direct in TokendError.__subclasses__() for error in (direct, *direct.__subclasses__())),
    }
)


def label_values(metrics: Metrics) -> frozenset[str]:
    """Returns all existing label values."""
    families = metrics.registry.collect()
    return frozenset(value for family in families for sample in family.samples for value in sample.labels.values())


def check_series(metrics: Metrics, before: frozenset[str]) -> None:
    """Checks that no text of a caller has become a label."""
    strange = label_values(metrics) - before - _EXPECTED
    assert not strange, f"labels that callers made: {sorted(strange)}"
