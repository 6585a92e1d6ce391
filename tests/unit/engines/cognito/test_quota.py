import pytest
from tests.fakes.clock import FakeClock

from tokend_server.engines.cognito.operation import OPERATIONS
from tokend_server.engines.cognito.quota import Quota


def test_each_operation_has_a_quota_of_its_own() -> None:
    quota = Quota(2.0, 1, FakeClock())
    assert [quota.take(operation) for operation in OPERATIONS] == [0.0] * 4
    assert [quota.take(operation) for operation in OPERATIONS] == [0.5] * 4


def test_time_gives_more() -> None:
    clock = FakeClock()
    quota = Quota(2.0, 1, clock)
    assert [quota.take(OPERATIONS[0]), quota.take(OPERATIONS[0])] == [0.0, 0.5]
    clock.advance(0.5)
    assert [quota.take(OPERATIONS[0]), quota.take(OPERATIONS[0])] == [0.0, 0.5]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_rate_is_no_limit(operation: str) -> None:
    quota = Quota(0.0, 1, FakeClock())
    assert {quota.take(operation) for _ in range(1000)} == {0.0}  # type: ignore[arg-type]
