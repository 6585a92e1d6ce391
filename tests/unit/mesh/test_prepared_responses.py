import contextvars
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.clock import FakeClock
from tests.fakes.scripted_engine import ISSUED, ScriptedEngine

from tokend_server.access.authentication.presented import PresentedCredentials
from tokend_server.access.authorization import UNRESTRICTED, Policy
from tokend_server.mesh.authorization import PreparedResponse, response_key
from tokend_server.mesh.reused_tokens import ReusedTokens, TokenSource
from tokend_server.mesh.token_mapping import MappedValues
from tokend_server.mesh.tokens import MeshTokens, Reusable
from tokend_server.mesh.wanted_token import WantedToken
from tokend_server.model import Operation, Secret
from tokend_server.rpc.call import CURRENT_CALL, Call
from tokend_server.rpc.developer_identity import DeveloperIdentityService

POOL = "us-east-1:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"
WANTED = WantedToken(POOL, "login.example.test", Secret("alice"), {"tenant": "acme"})

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
_INPUTS = st.tuples(
    _TEXTS, _TEXTS, st.builds(MappedValues, _TEXTS, st.lists(st.none() | _TEXTS, max_size=3).map(tuple))
)


@given(_INPUTS, _INPUTS)
def test_response_keys_are_equal_only_if_all_inputs_are_equal(
    one: tuple[str, str, MappedValues], other: tuple[str, str, MappedValues]
) -> None:
    assert (response_key(*one) == response_key(*other)) == (one == other)


@pytest.mark.parametrize(
    "other",
    [
        ("b", "web", MappedValues("alice", ("acme", None))),
        ("a", "app", MappedValues("alice", ("acme", None))),
        ("a", "web", MappedValues("bob", ("acme", None))),
        ("a", "web", MappedValues("alice", (None, "acme"))),
        ("a", "web", MappedValues("alice", ("acme", "null"))),
        ("a", "web", MappedValues('alice",["acme",null]]', ())),
    ],
)
def test_a_difference_in_any_part_changes_the_key(other: tuple[str, str, MappedValues]) -> None:
    assert response_key(*other) != response_key("a", "web", MappedValues("alice", ("acme", None)))


def test_the_representation_shows_neither_the_user_nor_the_response(sidecar: "Sidecar") -> None:
    shown = repr((MappedValues("alice", ("acme",)), PreparedResponse(sidecar.first(), b"header: canary")))
    assert "canary" not in shown
    assert "alice" not in shown


class Sidecar:
    """Requests a token twice."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.published = {ISSUED.key_id}
        self.reused = ReusedTokens(10, lambda _pool, key_id: key_id in self.published, self.clock)
        self.sources: list[TokenSource] = []
        self.engine = ScriptedEngine()
        service = DeveloperIdentityService({POOL: self.engine}, Policy([UNRESTRICTED], [POOL]), self.clock)
        self.tokens = MeshTokens(service, self.reused.get_or_issue, self.sources.append)

    def call(self, timeout: float = 1.0) -> Call:
        deadline_at = self.clock.monotonic() + timeout
        return Call(
            Operation.GET_OPEN_ID_TOKEN_FOR_DEVELOPER_IDENTITY,
            "1",
            presented=PresentedCredentials(deadline_at=deadline_at),
            caller="dns:sidecar",
        )

    def first(self) -> Reusable:
        """Returns the first response, of a call in a separate context."""

        def asked() -> Reusable | None:
            CURRENT_CALL.set(self.call())
            return self.tokens.token_for(WANTED)[1]

        reusable = contextvars.Context().run(asked)
        assert reusable
        return reusable


@pytest.fixture
def sidecar() -> Sidecar:
    return Sidecar()


def test_a_reused_token_has_the_same_audit_data(sidecar: Sidecar) -> None:
    reusable = sidecar.first()
    call = sidecar.call()
    assert sidecar.tokens.try_reuse(reusable, call)
    assert call.audited
    asked, found = call.audited
    assert (asked.identity_pool_id, asked.provider_names, asked.principal_tag_keys) == (
        POOL,
        ("login.example.test",),
        ("tenant",),
    )
    assert (found.identity_id, found.outcome, found.key_id) == (ISSUED.identity_id, "retrieved", ISSUED.key_id)
    assert (call.policy, call.token_source) == ("", TokenSource.REUSED)
    assert sidecar.sources == [TokenSource.ISSUED, TokenSource.REUSED]


def _reach_refresh_time(sidecar: Sidecar) -> None:
    sidecar.clock.advance(ISSUED.refresh_time - sidecar.clock.now())


def _renew(sidecar: Sidecar) -> None:
    _reach_refresh_time(sidecar)
    later = int(sidecar.clock.now()) + 900
    sidecar.engine.answers["get"] = ISSUED._replace(token=Secret("b"), expire_time=later, refresh_time=later - 600)
    sidecar.first()


CHANGES: Mapping[str, Callable[[Sidecar], object]] = {
    "its refresh_time has come": _reach_refresh_time,
    "another token has taken its place": _renew,
    "the users of the pool have changed": lambda sidecar: sidecar.reused.forget(POOL),
    "its key is out of the key set": lambda sidecar: sidecar.published.clear(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_no_token_is_reused_after_a_change(change: str, sidecar: Sidecar) -> None:
    reusable = sidecar.first()
    CHANGES[change](sidecar)
    counted = len(sidecar.sources)
    call = sidecar.call()
    assert not sidecar.tokens.try_reuse(reusable, call)
    assert (call.audited, call.token_source, len(sidecar.sources)) == (None, None, counted)


def test_no_token_is_reused_after_the_deadline(sidecar: Sidecar) -> None:
    reusable = sidecar.first()
    assert not sidecar.tokens.try_reuse(reusable, sidecar.call(timeout=0))


def test_a_call_allowed_by_another_policy_row_is_not_reused(sidecar: Sidecar) -> None:
    reusable = sidecar.first()._replace(row=replace(UNRESTRICTED, name="before"))
    assert not sidecar.tokens.try_reuse(reusable, sidecar.call())
