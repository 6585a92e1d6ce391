"""The contract of engines: a test suite that runs for each engine, with the engine's fixtures.

An engine that lacks a feature lists the test in `gaps`, with the reason. The test still runs and must fail, so that
closed gaps are removed from the list.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import jwt
import pytest
from tests.fakes.clock import FakeClock

from tokend_server.clock import Deadline
from tokend_server.engine import Engine
from tokend_server.errors import (
    DeadlineExceeded,
    DeveloperUserAlreadyRegistered,
    InvalidParameter,
    NotAuthorized,
    ResourceConflict,
    ResourceNotFound,
    TokendError,
)
from tokend_server.model import IssuedToken, LookupRequest, MergeRequest, Secret, TokenRequest, UnlinkRequest

_CLOCK = FakeClock(now=0)
FOR_EVER = Deadline(_CLOCK)
SPENT = Deadline(_CLOCK, _CLOCK.monotonic())


class Subject(ABC):
    """An engine under test, with the properties of its pool that the suite needs."""

    engine: Engine
    identity_pool_id: str
    developer_provider_name: str
    unknown_identity_id: str

    @abstractmethod
    def create_guest(self) -> str:
        """Creates an unauthenticated identity without the engine, and returns its id."""


class EngineContract:
    """The suite. A subclass provides the fixture `subject`."""

    #: The names of tests that the engine cannot pass, with the reasons.
    gaps: ClassVar[Mapping[str, str]] = {}

    @pytest.fixture(autouse=True)
    def _declared_gap(self, request: pytest.FixtureRequest) -> None:
        if reason := self.gaps.get(request.node.originalname):
            request.node.add_marker(pytest.mark.xfail(reason=reason, strict=True))

    def test_a_new_user_gets_an_identity_of_the_pools_region(self, subject: Subject) -> None:
        region = subject.identity_pool_id.partition(":")[0]
        assert _issue(subject, "new").partition(":")[0] == region

    def test_a_user_keeps_its_identity(self, subject: Subject) -> None:
        assert _issue(subject, "kept") == _issue(subject, "kept")

    def test_different_users_have_different_identities(self, subject: Subject) -> None:
        assert _issue(subject, "one") != _issue(subject, "another")

    @pytest.mark.parametrize(
        ("user", "similar"),
        [("User", "user"), ("us\u00e9r", "use\u0301r"), ("user ", "user"), ("\u00df", "ss"), ("a:b", "a"), ("1", "01")],
    )
    def test_similar_user_identifiers_are_different_users(self, subject: Subject, user: str, similar: str) -> None:
        assert _issue(subject, user) != _issue(subject, similar)

    @pytest.mark.parametrize("user", ["a", "ü" * 1024, "a|b@c_d=e,f", "\u0000", "日本語"])
    def test_any_text_names_a_user(self, subject: Subject, user: str) -> None:
        identity_id = _issue(subject, user)
        found = subject.engine.lookup_developer_identity(_lookup(subject, user=user), FOR_EVER)
        assert found.identity_id == identity_id
        assert found.developer_user_identifiers == (Secret(user),)

    def test_a_token_expires_after_the_requested_time(self, subject: Subject) -> None:
        short = _token(subject, "patient", token_duration=timedelta(seconds=60))
        long = _token(subject, "patient", token_duration=timedelta(seconds=86_400))
        assert 86_400 - 60 <= long.expire_time - short.expire_time <= 86_400

    def test_a_token_is_to_be_replaced_at_a_third_of_its_life(self, subject: Subject) -> None:
        issued = _token(subject, "fresh", token_duration=timedelta(seconds=900))
        assert issued.expire_time - issued.refresh_time == 600

    def test_the_key_id_matches_the_kid_header_of_the_token(self, subject: Subject) -> None:
        issued = _token(subject, "signed")
        assert issued.key_id == jwt.get_unverified_header(issued.token.reveal()).get("kid")

    def test_a_guest_becomes_the_user_and_keeps_its_id(self, subject: Subject) -> None:
        guest = subject.create_guest()
        assert _issue(subject, "was guest", guest) == guest
        assert _issue(subject, "was guest") == guest

    def test_an_identity_can_have_several_users(self, subject: Subject) -> None:
        identity_id = _issue(subject, "first")
        assert _issue(subject, "second", identity_id) == identity_id
        assert _users(subject, identity_id) == {"first", "second"}

    def test_a_user_may_name_its_own_identity(self, subject: Subject) -> None:
        identity_id = _issue(subject, "own")
        assert _issue(subject, "own", identity_id) == identity_id

    def test_a_user_of_one_identity_is_not_linked_to_another(self, subject: Subject) -> None:
        _issue(subject, "settled")
        other = _issue(subject, "other")
        _refused(DeveloperUserAlreadyRegistered, lambda: _issue(subject, "settled", other))

    def test_an_unknown_identity_is_not_found(self, subject: Subject) -> None:
        _refused(ResourceNotFound, lambda: _issue(subject, "lost", subject.unknown_identity_id))

    def test_logins_need_the_developer_provider(self, subject: Subject) -> None:
        request = TokenRequest(subject.identity_pool_id, {"unknown.example.test": Secret("user")})
        _refused(
            InvalidParameter,
            lambda: subject.engine.get_open_id_token_for_developer_identity(request, FOR_EVER),
        )

    def test_a_refused_call_changes_nothing(self, subject: Subject) -> None:
        _refused(ResourceNotFound, lambda: _issue(subject, "never", subject.unknown_identity_id))
        _refused(
            ResourceNotFound,
            lambda: subject.engine.lookup_developer_identity(_lookup(subject, user="never"), FOR_EVER),
        )

    def test_lookup_by_user_and_by_identity_agree(self, subject: Subject) -> None:
        identity_id = _issue(subject, "looked up")
        by_user = subject.engine.lookup_developer_identity(_lookup(subject, user="looked up"), FOR_EVER)
        by_id = subject.engine.lookup_developer_identity(_lookup(subject, identity_id), FOR_EVER)
        assert by_user == by_id
        assert by_id.developer_user_identifiers == (Secret("looked up"),)

    def test_lookup_of_a_pair_confirms_it(self, subject: Subject) -> None:
        identity_id = _issue(subject, "pair 1")
        _issue(subject, "pair 2", identity_id)
        found = subject.engine.lookup_developer_identity(_lookup(subject, identity_id, "pair 2"), FOR_EVER)
        assert (found.identity_id, found.developer_user_identifiers) == (identity_id, (Secret("pair 2"),))

    def test_lookup_of_a_wrong_pair_conflicts(self, subject: Subject) -> None:
        identity_id = _issue(subject, "left")
        _issue(subject, "right")
        wrong = _lookup(subject, identity_id, "right")
        _refused(ResourceConflict, lambda: subject.engine.lookup_developer_identity(wrong, FOR_EVER))
        unknown = _lookup(subject, identity_id, "unknown")
        _refused(ResourceConflict, lambda: subject.engine.lookup_developer_identity(unknown, FOR_EVER))

    def test_lookup_of_nothing_is_invalid(self, subject: Subject) -> None:
        _refused(InvalidParameter, lambda: subject.engine.lookup_developer_identity(_lookup(subject), FOR_EVER))

    @pytest.mark.parametrize("by_identity", [True, False])
    def test_lookup_of_the_unknown_finds_nothing(self, subject: Subject, *, by_identity: bool) -> None:
        request = _lookup(subject, subject.unknown_identity_id) if by_identity else _lookup(subject, user="unknown")
        _refused(ResourceNotFound, lambda: subject.engine.lookup_developer_identity(request, FOR_EVER))

    def test_pages_show_every_user_once(self, subject: Subject) -> None:
        identity_id = _issue(subject, "user 0")
        for number in range(1, 7):
            _issue(subject, f"user {number}", identity_id)
        seen: list[str] = []
        request = replace(_lookup(subject, identity_id), max_results=3)
        while True:
            page = subject.engine.lookup_developer_identity(request, FOR_EVER)
            assert len(page.developer_user_identifiers) <= 3
            seen += [user.reveal() for user in page.developer_user_identifiers]
            if page.next_token is None:
                break
            request = replace(request, next_token=page.next_token)
        assert sorted(seen) == [f"user {number}" for number in range(7)]

    @pytest.mark.parametrize("next_token", ["x", "ä", "A" * 44, "=", "%"])
    def test_a_forged_page_token_is_invalid(self, subject: Subject, next_token: str) -> None:
        request = replace(_lookup(subject, _issue(subject, "paged")), next_token=next_token)
        _refused(InvalidParameter, lambda: subject.engine.lookup_developer_identity(request, FOR_EVER))

    def test_merge_moves_the_source_user(self, subject: Subject) -> None:
        _issue(subject, "source")
        destination = _issue(subject, "destination")
        assert _merge(subject, "source", "destination") == destination
        assert _issue(subject, "source") == destination
        assert _users(subject, destination) == {"source", "destination"}

    def test_merge_disables_the_source_identity(self, subject: Subject) -> None:
        source = _issue(subject, "given up")
        _issue(subject, "stays")
        _merge(subject, "given up", "stays")
        error = _refused(NotAuthorized, lambda: _issue(subject, "another", source))
        assert error.text == f"Access to Identity '{source}' is forbidden."

    def test_merge_is_idempotent(self, subject: Subject) -> None:
        _issue(subject, "again 1")
        destination = _issue(subject, "again 2")
        assert [_merge(subject, "again 1", "again 2") for _ in range(2)] == [destination, destination]

    @pytest.mark.parametrize(("source", "destination"), [("known", "unknown"), ("unknown", "known")])
    def test_merge_of_an_unknown_user_finds_nothing(self, subject: Subject, source: str, destination: str) -> None:
        _issue(subject, "known")
        _refused(ResourceNotFound, lambda: _merge(subject, source, destination))

    def test_merge_needs_the_pools_provider(self, subject: Subject) -> None:
        request = MergeRequest(subject.identity_pool_id, "other.example.test", Secret("a"), Secret("b"))
        _refused(InvalidParameter, lambda: subject.engine.merge_developer_identities(request, FOR_EVER))

    def test_an_unlinked_user_is_a_new_user(self, subject: Subject) -> None:
        identity_id = _issue(subject, "leaves")
        _issue(subject, "remains", identity_id)
        _unlink(subject, identity_id, "leaves")
        assert _users(subject, identity_id) == {"remains"}
        assert _issue(subject, "leaves") != identity_id

    def test_an_identity_without_logins_is_disabled(self, subject: Subject) -> None:
        identity_id = _issue(subject, "last")
        _unlink(subject, identity_id, "last")
        error = _refused(NotAuthorized, lambda: _issue(subject, "last", identity_id))
        assert error.text == f"Access to Identity '{identity_id}' is forbidden."

    def test_unlink_twice_finds_nothing(self, subject: Subject) -> None:
        identity_id = _issue(subject, "once")
        _unlink(subject, identity_id, "once")
        _refused(ResourceNotFound, lambda: _unlink(subject, identity_id, "once"))

    def test_unlink_from_the_wrong_identity_conflicts(self, subject: Subject) -> None:
        _issue(subject, "elsewhere")
        identity_id = _issue(subject, "here")
        _refused(ResourceConflict, lambda: _unlink(subject, identity_id, "elsewhere"))

    def test_unlink_needs_the_pools_provider(self, subject: Subject) -> None:
        identity_id = _issue(subject, "linked")
        request = UnlinkRequest(subject.identity_pool_id, identity_id, "other.example.test", Secret("linked"))
        _refused(InvalidParameter, lambda: subject.engine.unlink_developer_identity(request, FOR_EVER))

    def test_an_expired_deadline_changes_nothing(self, subject: Subject) -> None:
        request = TokenRequest(subject.identity_pool_id, {subject.developer_provider_name: Secret("late")})
        _refused(DeadlineExceeded, lambda: subject.engine.get_open_id_token_for_developer_identity(request, SPENT))
        _refused(
            ResourceNotFound,
            lambda: subject.engine.lookup_developer_identity(_lookup(subject, user="late"), FOR_EVER),
        )


def _token(subject: Subject, user: str, identity_id: str | None = None, **options: Any) -> IssuedToken:  # noqa: ANN401
    request = TokenRequest(
        subject.identity_pool_id, {subject.developer_provider_name: Secret(user)}, identity_id, **options
    )
    return subject.engine.get_open_id_token_for_developer_identity(request, FOR_EVER)


def _issue(subject: Subject, user: str, identity_id: str | None = None) -> str:
    return _token(subject, user, identity_id).identity_id


def _lookup(subject: Subject, identity_id: str | None = None, user: str | None = None) -> LookupRequest:
    return LookupRequest(subject.identity_pool_id, identity_id, None if user is None else Secret(user))


def _users(subject: Subject, identity_id: str) -> set[str]:
    found = subject.engine.lookup_developer_identity(_lookup(subject, identity_id), FOR_EVER)
    return {user.reveal() for user in found.developer_user_identifiers}


def _merge(subject: Subject, source: str, destination: str) -> str:
    request = MergeRequest(
        subject.identity_pool_id, subject.developer_provider_name, Secret(source), Secret(destination)
    )
    return subject.engine.merge_developer_identities(request, FOR_EVER)


def _unlink(subject: Subject, identity_id: str, user: str) -> None:
    request = UnlinkRequest(subject.identity_pool_id, identity_id, subject.developer_provider_name, Secret(user))
    subject.engine.unlink_developer_identity(request, FOR_EVER)


def _refused(error: type[TokendError], call: Callable[[], object]) -> TokendError:
    with pytest.raises(error) as refusal:
        call()
    return refusal.value
