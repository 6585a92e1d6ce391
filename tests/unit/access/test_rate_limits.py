"""The limits of each caller: call rate, concurrent calls, and new identities with the local engine."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pytest
from tests.fakes.clock import FakeClock, MeetingClock
from tests.support.local_engine import DEVELOPER, POOL, LocalEngineUnderTest

from tokend_server.access import rate_limits as limits_module
from tokend_server.access.rate_limits import CallerLimits, Rate, RateLimits
from tokend_server.clock import Deadline
from tokend_server.engines.local.engine import LocalEngine
from tokend_server.errors import DeadlineExceeded, ResourceNotFound, TooManyRequests
from tokend_server.model import ANONYMOUS, IdentityOutcome, IssuedToken, Secret, TokenRequest

UNLIMITED = Rate(0, 1)
ALICE, BOB = "key:alice", "key:bob"
LOOKUP = "LookupDeveloperIdentity"
UNKNOWN_IDENTITY = "eu-west-1:00000000-dead"


def caller_limits(
    calls: Rate = UNLIMITED, new_identities: Rate = UNLIMITED, concurrent_calls: int = 1000
) -> CallerLimits:
    return CallerLimits(calls, new_identities, concurrent_calls)


class Limited:
    """RateLimits, with their inputs and reports."""

    def __init__(self, default: CallerLimits, *by_pattern: tuple[str, CallerLimits]) -> None:
        self.clock = FakeClock()
        self.refused: list[str] = []
        self.limits = RateLimits(default, by_pattern, self.refused.append, self.clock)

    def calls(self, caller: str, most: int = 100) -> int:
        """Returns how many sequential calls of a caller are accepted now."""
        return _admitted(lambda: self.call(caller), most)

    def call(self, caller: str) -> None:
        if place := self.limits.begin(caller):
            place.end()

    def identities(self, caller: str, most: int = 100) -> int:
        """Returns how many identities a caller may create now."""
        return _admitted(lambda: self.create(caller), most)

    def create(self, caller: str) -> None:
        with self.limits.new_identity(caller):
            pass


def _admitted(attempt: Callable[[], None], most: int) -> int:
    for count in range(most):
        try:
            attempt()
        except TooManyRequests:
            return count
    return most


def refusal(attempt: Callable[[], object]) -> tuple[str, float]:
    """Returns the text of a rejection, and its retry delay in seconds."""
    with pytest.raises(TooManyRequests) as refused:
        attempt()
    return refused.value.text, refused.value.retry_after


def test_a_caller_has_its_burst_and_then_its_rate() -> None:
    limited = Limited(caller_limits(Rate(4, 3)))
    assert limited.calls(ALICE) == 3
    assert refusal(lambda: limited.limits.begin(ALICE)) == ("Too many calls of this caller.", 0.25)
    limited.clock.advance(0.25)
    assert limited.calls(ALICE) == 1
    limited.clock.advance(3600)
    assert limited.calls(ALICE) == 3


def test_the_limits_of_one_caller_do_not_affect_other_callers() -> None:
    limited = Limited(caller_limits(Rate(1, 2), Rate(1, 5), 1))
    assert limited.calls(ALICE) == 2
    assert limited.identities(ALICE) == 5
    begun = limited.limits.begin(BOB)
    assert begun
    assert limited.identities(BOB) == 5
    begun.end()
    assert limited.calls(BOB) == 1


def test_a_rate_of_zero_means_no_limit() -> None:
    limited = Limited(caller_limits(Rate(0, 1), Rate(0, 1)))
    assert limited.calls(ALICE, 5000) == limited.identities(ALICE, 5000) == 5000
    assert limited.refused == []


def test_anonymous_callers_have_no_limits() -> None:
    limited = Limited(caller_limits(Rate(1, 1), Rate(1, 1), 1))
    assert limited.calls(ANONYMOUS) == limited.identities(ANONYMOUS) == 100
    assert [limited.limits.begin(ANONYMOUS) for _ in range(3)] == [None, None, None]
    assert limited.refused == []


def test_the_first_matching_pattern_decides() -> None:
    limited = Limited(
        caller_limits(Rate(1, 1)),
        ("spiffe://acme.internal/ns/batch/*", caller_limits(Rate(1, 2))),
        ("spiffe://**", caller_limits(Rate(1, 3))),
        ("**/batch/a", caller_limits(Rate(1, 4))),
    )
    assert limited.calls("spiffe://acme.internal/ns/batch/a") == 2
    assert limited.calls("spiffe://acme.internal/ns/batch/a/b") == 3
    assert limited.calls("x/batch/a") == 4
    assert limited.calls(ALICE) == 1


def test_each_caller_of_a_pattern_has_separate_limits() -> None:
    limited = Limited(caller_limits(), ("key:*", caller_limits(Rate(1, 2))))
    assert (limited.calls(ALICE), limited.calls(BOB)) == (2, 2)


def test_concurrent_calls_are_counted_until_they_end() -> None:
    limited = Limited(caller_limits(concurrent_calls=2))
    places = [limited.limits.begin(ALICE) for _ in range(2)]
    text, retry_after = refusal(lambda: limited.limits.begin(ALICE))
    assert text == "Too many calls of this caller at once."
    assert retry_after > 0
    assert places[0]
    places[0].end()
    assert limited.limits.begin(ALICE)
    refusal(lambda: limited.limits.begin(ALICE))
    assert limited.refused == ["concurrent_calls", "concurrent_calls"]


def test_a_refused_call_does_not_count_as_concurrent() -> None:
    limited = Limited(caller_limits(Rate(1, 2), concurrent_calls=1))
    begun = limited.limits.begin(ALICE)
    assert begun
    for _ in range(3):
        refusal(lambda: limited.limits.begin(ALICE))
    begun.end()
    limited.clock.advance(10)
    assert limited.calls(ALICE) == 2
    assert begun.running == 0


def test_identities_have_a_rate_of_their_own() -> None:
    limited = Limited(caller_limits(Rate(1, 1), Rate(2, 3)))
    assert limited.identities(ALICE) == 3
    assert refusal(lambda: limited.create(ALICE)) == ("Too many new identities of this caller.", 0.5)
    limited.clock.advance(0.5)
    assert limited.identities(ALICE) == 1
    assert limited.calls(ALICE) == 1


@pytest.mark.parametrize("failure", [ValueError, TooManyRequests, KeyboardInterrupt])
def test_an_identity_that_was_not_created_costs_nothing(failure: type[BaseException]) -> None:
    limited = Limited(caller_limits(new_identities=Rate(1, 2)))
    for _ in range(5):
        with pytest.raises(failure), limited.limits.new_identity(ALICE):
            raise failure("it was not to be")
    assert limited.identities(ALICE) == 2
    assert limited.refused == ["new_identities"]


def test_each_refusal_is_reported_by_its_limit() -> None:
    limited = Limited(caller_limits(Rate(1, 2), Rate(1, 1), 1))
    limited.create(ALICE)
    refusal(lambda: limited.create(ALICE))
    begun = limited.limits.begin(ALICE)
    refusal(lambda: limited.limits.begin(ALICE))
    refusal(lambda: limited.limits.begin(ALICE))
    assert begun
    assert limited.refused == ["new_identities", "concurrent_calls", "calls"]


def test_a_refusal_counts_as_misuse() -> None:
    limited = Limited(caller_limits(Rate(1, 1)))
    limited.call(ALICE)
    with pytest.raises(TooManyRequests) as refused:
        limited.call(ALICE)
    assert refused.value.misuse


def test_the_least_recent_caller_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "_MAX_REMEMBERED", 2)
    limited = Limited(caller_limits(Rate(1, 1)))
    for caller in ("a", "b", "c"):
        assert limited.calls(caller) == 1
    assert limited.calls("c") == limited.calls("b") == 0
    assert limited.calls("a") == 1


def test_concurrent_first_calls_share_one_burst() -> None:
    limits = RateLimits(caller_limits(Rate(1, 1)), (), lambda _limit: None, MeetingClock())

    def admitted() -> bool:
        with suppress(TooManyRequests):
            limits.begin(ALICE)
            return True
        return False

    with ThreadPoolExecutor(2) as threads:
        assert sorted(each.result() for each in [threads.submit(admitted) for _ in range(2)]) == [False, True]


def test_concurrent_threads_together_stay_within_the_limits() -> None:
    limited, ready = Limited(caller_limits(Rate(0.001, 40), concurrent_calls=3)), threading.Barrier(8)

    def work() -> tuple[int, int]:
        ready.wait()
        most = count = 0
        for _ in range(100):
            with suppress(TooManyRequests):
                place = limited.limits.begin(ALICE)
                assert place
                count, most = count + 1, max(most, place.running)
                place.end()
        return count, most

    with ThreadPoolExecutor(8) as threads:
        done = [each.result() for each in [threads.submit(work) for _ in range(8)]]
    # A call beyond the concurrency limit still counts for the rate.
    assert sum(count for count, _ in done) == 40 - limited.refused.count("concurrent_calls")
    assert max(most for _, most in done) <= 3


def issue(
    engine: LocalEngine, local: LocalEngineUnderTest, user: str, caller: str = ALICE, identity_id: str | None = None
) -> IssuedToken:
    request = TokenRequest(POOL, {DEVELOPER: Secret(user)}, identity_id, caller=caller)
    return engine.get_open_id_token_for_developer_identity(request, local.deadline)


def limited_engine(local: LocalEngineUnderTest, limited: Limited) -> LocalEngine:
    return LocalEngine(
        local.pool, local.store, local.signer, local.clock, lambda: str(uuid.uuid4()), limited.limits.new_identity
    )


def identities_of(local: LocalEngineUnderTest) -> int:
    return len(local.store.identities(POOL, max_results=1000, after=None, hide_disabled=False))


def test_the_local_engine_creates_no_identity_beyond_the_limit(local: LocalEngineUnderTest) -> None:
    limited = Limited(caller_limits(new_identities=Rate(1, 3)))
    engine = limited_engine(local, limited)
    created = [issue(engine, local, f"user {number}") for number in range(3)]
    assert {each.outcome for each in created} == {IdentityOutcome.CREATED}
    for number in range(3, 6):
        refusal(partial(issue, engine, local, f"user {number}"))
    assert identities_of(local) == 3
    limited.clock.advance(1)
    assert issue(engine, local, "user 3").outcome is IdentityOutcome.CREATED
    refusal(lambda: issue(engine, local, "user 4"))
    assert issue(engine, local, "user 4", BOB).outcome is IdentityOutcome.CREATED
    assert identities_of(local) == 5


def test_the_limit_of_new_identities_does_not_apply_to_existing_ones(local: LocalEngineUnderTest) -> None:
    guest = local.guest()
    limited = Limited(caller_limits(new_identities=Rate(1, 1)))
    engine = limited_engine(local, limited)
    first = issue(engine, local, "user")
    refusal(lambda: issue(engine, local, "other"))
    again = issue(engine, local, "user")
    assert (again.identity_id, again.outcome) == (first.identity_id, IdentityOutcome.RETRIEVED)
    linked = issue(engine, local, "third", identity_id=guest)
    assert (linked.identity_id, linked.outcome) == (guest, IdentityOutcome.LINKED)


def test_many_first_calls_of_one_user_at_once_cost_one_identity(local: LocalEngineUnderTest) -> None:
    limited, ready = Limited(caller_limits(new_identities=Rate(0.001, 60))), threading.Barrier(50)
    engine = limited_engine(local, limited)

    def first_call() -> IssuedToken:
        ready.wait()
        return issue(engine, local, "user")

    with ThreadPoolExecutor(50) as threads:
        issued = [each.result() for each in [threads.submit(first_call) for _ in range(50)]]
    assert len({each.identity_id for each in issued}) == 1
    assert [each.outcome for each in issued].count(IdentityOutcome.CREATED) == 1
    assert identities_of(local) == 1
    assert limited.identities(ALICE) == 59


def test_a_call_that_fails_to_create_costs_nothing(local: LocalEngineUnderTest) -> None:
    limited = Limited(caller_limits(new_identities=Rate(1, 1)))
    engine = limited_engine(local, limited)
    spent = Deadline(local.clock, local.clock.monotonic())
    request = TokenRequest(POOL, {DEVELOPER: Secret("user")}, caller=ALICE)
    with pytest.raises(DeadlineExceeded):
        engine.get_open_id_token_for_developer_identity(request, spent)
    with pytest.raises(ResourceNotFound):
        issue(engine, local, "user", identity_id=UNKNOWN_IDENTITY)
    assert limited.identities(ALICE) == 1


def test_the_limit_of_concurrent_calls_is_not_divided_among_replicas() -> None:
    part = CallerLimits(Rate(8, 40), Rate(0, 3), concurrent_calls=5).share(4)
    assert part == CallerLimits(Rate(2, 10), Rate(0, 1), concurrent_calls=5)
