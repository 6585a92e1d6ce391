import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from tests.fakes.clock import FakeClock
from tests.fakes.scripted_engine import ISSUED

from tokend_server.clock import Deadline, SystemClock
from tokend_server.errors import DeadlineExceeded, EngineUnavailable
from tokend_server.mesh.reused_tokens import ReusedTokens, TokenSource, always_issue
from tokend_server.model import IdentityOutcome, IssuedToken, Secret, TokenRequest

POOL = "us-east-1:0"
REQUEST = TokenRequest(
    POOL, {"login.example": Secret("alice")}, None, {"tenant": "acme"}, timedelta(seconds=900), "dns:sidecar"
)

#: A different value for each field of a request.
OTHERS: dict[str, Any] = {
    "identity_pool_id": "us-east-1:1",
    "logins": {"login.example": Secret("bob")},
    "identity_id": "us-east-1:2",
    "principal_tags": {"tenant": "other"},
    "token_duration": timedelta(seconds=600),
    "caller": "dns:other",
}

TIMEOUT = 30


class Issuer:
    """Issues a new token each time, with a clock and a key set by the test."""

    def __init__(self, clock: FakeClock) -> None:
        self.count = 0
        self.key_id: str | None = "key-1"
        self.failure: Exception | None = None
        self._clock = clock

    def __call__(self, _request: TokenRequest, _deadline: Deadline) -> IssuedToken:
        self.count += 1
        if self.failure:
            raise self.failure
        now = int(self._clock.now())
        return ISSUED._replace(
            token=Secret(f"token {self.count}"),
            expire_time=now + 900,
            refresh_time=now + 300,
            key_id=self.key_id,
            outcome=IdentityOutcome.CREATED,
        )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def issuer(clock: FakeClock) -> Issuer:
    return Issuer(clock)


@pytest.fixture
def published() -> set[str | None]:
    return {"key-1", None}


@pytest.fixture
def tokens(published: set[str | None], clock: FakeClock) -> ReusedTokens:
    return ReusedTokens(100, lambda _pool, key_id: key_id in published, clock)


@pytest.fixture
def get_or_issue(
    tokens: ReusedTokens, issuer: Issuer, clock: FakeClock
) -> Callable[[TokenRequest], tuple[str, TokenSource]]:
    def given(request: TokenRequest) -> tuple[str, TokenSource]:
        issued, source, _ = tokens.get_or_issue(request, Deadline(clock), issuer)
        return issued.token.reveal(), source

    return given


GetOrIssue = Callable[[TokenRequest], tuple[str, TokenSource]]


def test_a_token_is_reused_until_its_refresh_time(get_or_issue: GetOrIssue, clock: FakeClock) -> None:
    assert get_or_issue(REQUEST) == ("token 1", TokenSource.ISSUED)
    clock.advance(299)
    assert get_or_issue(REQUEST) == ("token 1", TokenSource.REUSED)
    clock.advance(1)
    assert get_or_issue(REQUEST) == ("token 2", TokenSource.ISSUED)


@pytest.mark.parametrize("field", TokenRequest._fields)
def test_a_request_that_differs_in_a_field_has_a_token_of_its_own(get_or_issue: GetOrIssue, field: str) -> None:
    assert get_or_issue(REQUEST) == ("token 1", TokenSource.ISSUED)
    assert get_or_issue(REQUEST._replace(**{field: OTHERS[field]})) == ("token 2", TokenSource.ISSUED)


def test_a_reused_token_has_the_outcome_retrieved(tokens: ReusedTokens, issuer: Issuer, clock: FakeClock) -> None:
    outcomes = [tokens.get_or_issue(REQUEST, Deadline(clock), issuer)[0].outcome for _ in range(2)]
    assert outcomes == [IdentityOutcome.CREATED, IdentityOutcome.RETRIEVED]


def test_a_failure_is_not_cached(get_or_issue: GetOrIssue, issuer: Issuer) -> None:
    issuer.failure = EngineUnavailable("The store does not answer.")
    with pytest.raises(EngineUnavailable):
        get_or_issue(REQUEST)
    issuer.failure = None
    assert get_or_issue(REQUEST) == ("token 2", TokenSource.ISSUED)


def test_a_token_of_an_unpublished_key_is_not_reused(
    get_or_issue: GetOrIssue, issuer: Issuer, published: set[str | None]
) -> None:
    get_or_issue(REQUEST)
    published.remove("key-1")
    issuer.key_id = None
    assert get_or_issue(REQUEST) == ("token 2", TokenSource.ISSUED)
    assert get_or_issue(REQUEST) == ("token 2", TokenSource.REUSED)


def test_only_tokens_of_the_given_pool_are_forgotten(get_or_issue: GetOrIssue, tokens: ReusedTokens) -> None:
    other = REQUEST._replace(identity_pool_id="us-east-1:1")
    get_or_issue(REQUEST), get_or_issue(other)
    for number in range(2):
        tokens.forget(POOL)
        assert get_or_issue(REQUEST) == (f"token {3 + number}", TokenSource.ISSUED)
        assert get_or_issue(other) == ("token 2", TokenSource.REUSED)


def test_the_number_of_reusable_tokens_is_limited(issuer: Issuer, clock: FakeClock) -> None:
    tokens = ReusedTokens(2, lambda _pool, _key_id: True, clock)
    requests = [REQUEST._replace(caller=f"dns:{number}") for number in range(3)]
    for request in requests:
        tokens.get_or_issue(request, Deadline(clock), issuer)
    assert tokens.count() == 2
    sources = [tokens.get_or_issue(request, Deadline(clock), issuer)[1] for request in reversed(requests)]
    assert sources == [TokenSource.REUSED, TokenSource.REUSED, TokenSource.ISSUED]


def test_without_a_cache_each_request_issues_a_token(issuer: Issuer, clock: FakeClock) -> None:
    sources = [always_issue(REQUEST, Deadline(clock), issuer)[1] for _ in range(2)]
    assert sources == [TokenSource.ISSUED] * 2


def test_concurrent_requests_issue_one_token(tokens: ReusedTokens, issuer: Issuer) -> None:
    entered, release = threading.Event(), threading.Event()

    def slowly(request: TokenRequest, deadline: Deadline) -> IssuedToken:
        entered.set()
        assert release.wait(TIMEOUT)
        return issuer(request, deadline)

    def ask() -> tuple[str, TokenSource]:
        issued, source, _ = tokens.get_or_issue(REQUEST, Deadline(SystemClock()), slowly)
        return issued.token.reveal(), source

    with ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(ask) for _ in range(16)]
        assert entered.wait(TIMEOUT)
        release.set()
        answers = [each.result(TIMEOUT) for each in asked]
    assert issuer.count == 1
    assert {token for token, _ in answers} == {"token 1"}
    assert [source for _, source in answers].count(TokenSource.ISSUED) == 1


def test_waiting_for_another_request_ends_at_the_own_deadline(tokens: ReusedTokens, issuer: Issuer) -> None:
    entered, release = threading.Event(), threading.Event()

    def slowly(request: TokenRequest, deadline: Deadline) -> IssuedToken:
        entered.set()
        assert release.wait(TIMEOUT)
        return issuer(request, deadline)

    clock = SystemClock()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(tokens.get_or_issue, REQUEST, Deadline(clock), slowly)
        assert entered.wait(TIMEOUT)
        with pytest.raises(DeadlineExceeded):
            tokens.get_or_issue(REQUEST, Deadline(clock, clock.monotonic() + 0.01), slowly)
        release.set()
        assert first.result(TIMEOUT)[1] is TokenSource.ISSUED


def test_a_waiting_request_issues_the_token_if_the_first_times_out(tokens: ReusedTokens, issuer: Issuer) -> None:
    entered, release = threading.Event(), threading.Event()

    def gives_up(_request: TokenRequest, _deadline: Deadline) -> IssuedToken:
        entered.set()
        assert release.wait(TIMEOUT)
        raise DeadlineExceeded

    deadline = Deadline(SystemClock())
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(tokens.get_or_issue, REQUEST, deadline, gives_up)
        assert entered.wait(TIMEOUT)
        second = pool.submit(tokens.get_or_issue, REQUEST, deadline, issuer)
        release.set()
        with pytest.raises(DeadlineExceeded):
            first.result(TIMEOUT)
        assert second.result(TIMEOUT)[1] is TokenSource.ISSUED


def test_a_token_does_not_appear_in_representations(tokens: ReusedTokens, issuer: Issuer, clock: FakeClock) -> None:
    issued, *_ = tokens.get_or_issue(REQUEST, Deadline(clock), issuer)
    assert "token 1" not in repr((tokens, issued))
