import pytest
from tests.fakes.clock import FakeClock

from tokend_server.engines.cognito.quota import Quota
from tokend_server.model import Operation

LOOKUP = Operation.LOOKUP_DEVELOPER_IDENTITY


def test_each_operation_has_a_quota_of_its_own() -> None:
    quota = Quota(2.0, 1, FakeClock())
    assert [quota.take(operation) for operation in Operation] == [0.0] * 4
    assert [quota.take(operation) for operation in Operation] == [0.5] * 4


def test_the_quota_refills_over_time() -> None:
    clock = FakeClock()
    quota = Quota(2.0, 1, clock)
    assert [quota.take(LOOKUP), quota.take(LOOKUP)] == [0.0, 0.5]
    clock.advance(0.5)
    assert [quota.take(LOOKUP), quota.take(LOOKUP)] == [0.0, 0.5]


@pytest.mark.parametrize("operation", Operation)
def test_no_rate_is_no_limit(operation: Operation) -> None:
    quota = Quota(0.0, 1, FakeClock())
    assert {quota.take(operation) for _ in range(1000)} == {0.0}
