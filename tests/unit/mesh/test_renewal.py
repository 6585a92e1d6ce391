import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokend_server.errors import (
    CallerNotAllowed,
    DeadlineExceeded,
    EngineCredentialsRejected,
    EngineUnavailable,
    NotAuthorized,
    TooManyRequests,
)
from tokend_server.mesh.renewal import is_refusal, renewal_delay, retry_delay

SHARES = st.floats(0, 1)
UNAVAILABLE = EngineUnavailable("down")


@given(SHARES, st.integers(60, 86_400))
def test_a_token_is_replaced_before_its_refresh_time_and_not_long_before(share: float, seconds: int) -> None:
    assert 0.6 * seconds <= renewal_delay(seconds, share) <= 0.95 * seconds


def test_renewals_of_tokens_issued_together_are_spread_over_a_third_of_the_time() -> None:
    first, last = (renewal_delay(300, share) for share in (0, 1))
    assert (first, last) == (180, 285)


@pytest.mark.parametrize("left", [0.5, 0.0, -100.0])
def test_a_token_past_its_refresh_time_is_renewed_after_a_second(left: float) -> None:
    assert renewal_delay(left, 0.5) == 1


@pytest.mark.parametrize(("failures", "seconds"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (10_000, 60)])
def test_retry_delays_double_up_to_a_minute(failures: int, seconds: float) -> None:
    assert retry_delay(failures, UNAVAILABLE, 1) == seconds
    assert retry_delay(failures, UNAVAILABLE, 0) == seconds / 2


def test_a_retry_waits_for_the_retry_delay_of_the_error() -> None:
    assert retry_delay(1, TooManyRequests("slowly", retry_after=20.0), 1) == 20


def test_a_refusal_is_retried_after_five_minutes() -> None:
    assert retry_delay(1, CallerNotAllowed("no"), 1) == 300


@pytest.mark.parametrize(
    ("error", "refuses"),
    [
        (CallerNotAllowed("no"), True),
        (NotAuthorized("no"), True),
        (UNAVAILABLE, False),
        (EngineCredentialsRejected("no"), False),
        (DeadlineExceeded(), False),
        (RuntimeError("a defect"), False),
    ],
)
def test_only_errors_of_the_caller_count_as_refusals(error: Exception, refuses: bool) -> None:  # noqa: FBT001 - a row of the table
    assert is_refusal(error) is refuses
