import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.fakes.clock import FakeClock

from tokend_server.errors import CallerNotAllowed, EngineUnavailable
from tokend_server.mesh.pushed_tokens import PushedTokens, TokenSecret
from tokend_server.mesh.secrets_watch import KeySetSecret, Secrets
from tokend_server.mesh.wanted_token import WantedToken
from tokend_server.mesh.xds import Missing, Resource
from tokend_server.model import IssuedToken, Secret
from tokend_server.rpc.call import Call

POOL = "eu-west-1:0"
LIFE, REFRESH = 900, 300
ALICE, BOB = Call("StreamSecrets", "1", caller="alice"), Call("StreamSecrets", "2", caller="bob")
DOWN = EngineUnavailable("down")


class Issuer:
    """Issues numbered tokens, or fails.

    Attributes:
        asked: The callers with the requested names and users.
        failure: The failure, if any.
    """

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.asked: list[tuple[str, str, str]] = []
        self.failure: Exception | None = None
        self.key_id = "k1"

    def __call__(self, call: Call, name: str, wanted: WantedToken) -> IssuedToken:
        self.asked.append((call.caller, name, wanted.user.reveal()))
        if self.failure:
            raise self.failure
        now = int(self._clock.now())
        text = f"token {len(self.asked)}"
        return IssuedToken("id", Secret(text), now + LIFE, now + REFRESH, "ES256", self.key_id, None)


class Place:
    """Pushed tokens with a clock set by the test."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.issuer = Issuer(self.clock)
        self.published = {"k1", "k2"}
        self.woken: list[str] = []
        self.renewals: list[bool] = []
        own = TokenSecret(lambda caller: WantedToken(POOL, "login", Secret(caller)), _contents)
        fixed = TokenSecret(lambda _caller: WantedToken(POOL, "login", Secret("batch"), {}, 86_400), _contents)
        self.tokens = PushedTokens(
            {"own": own, "fixed": fixed},
            issue=self.issuer,
            run=_run,
            is_published=lambda _pool, key_id: key_id in self.published,
            max_tokens=4,
            clock=self.clock,
            random=lambda: 1.0,
            on_renewal=self.renewals.append,
        )

    def watch(self, call: Call, name: str = "own") -> Callable[[], None]:
        def wake() -> None:
            self.woken.append(call.caller)

        self.tokens.watch(call, name, wake)
        return wake

    async def after(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.tokens.tick()
        await settled()

    def text(self, caller: str, name: str = "own") -> str:
        found = self.tokens.get(caller, name)
        assert isinstance(found, Resource)
        return found.contents.decode()


async def _run(work: Callable[[], IssuedToken]) -> IssuedToken:
    await asyncio.sleep(0)
    return work()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def _contents(issued: IssuedToken) -> bytes:
    return issued.token.reveal().encode()


def in_a_loop(story: Callable[[Place], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        async def tell() -> None:
            await story(Place())

        asyncio.run(tell())

    return run


@in_a_loop
async def test_each_caller_gets_a_separate_token(place: Place) -> None:
    for call in (ALICE, BOB):
        place.watch(call)
        assert place.tokens.get(call.caller, "own") is Missing.PENDING
    await settled()
    assert place.issuer.asked == [("alice", "own", "alice"), ("bob", "own", "bob")]
    assert place.woken == ["alice", "bob"]
    assert place.text("alice") != place.text("bob")


@in_a_loop
async def test_streams_of_a_caller_share_a_token(place: Place) -> None:
    place.watch(ALICE)
    place.watch(ALICE)
    await settled()
    assert len(place.issuer.asked) == 1
    assert place.woken == ["alice", "alice"]


@in_a_loop
async def test_a_token_is_replaced_in_time_and_not_earlier(place: Place) -> None:
    place.watch(ALICE)
    await settled()
    before = place.text("alice")
    await place.after(284)
    assert place.text("alice") == before
    await place.after(1)
    assert place.text("alice") != before
    assert place.woken == ["alice"] * 2
    assert place.renewals == [True] * 2


@in_a_loop
async def test_a_failed_renewal_keeps_the_token_and_is_retried(place: Place) -> None:
    place.watch(ALICE)
    await settled()
    before = place.text("alice")
    place.issuer.failure = DOWN
    await place.after(285)
    for seconds in (1, 2, 4):
        await place.after(seconds)
    assert place.text("alice") == before
    assert place.renewals == [True] + [False] * 4
    place.issuer.failure = None
    await place.after(8)
    assert place.text("alice") != before


@in_a_loop
async def test_a_clock_that_is_set_back_does_not_delay_retries(place: Place) -> None:
    place.watch(ALICE)
    await settled()
    before = place.text("alice")
    place.issuer.failure = DOWN
    place.clock.move_wall_clock(-3600)
    await place.after(285)
    place.clock.move_wall_clock(-3600)
    await place.after(1)
    assert place.renewals == [True, False, False]
    place.issuer.failure = None
    await place.after(2)
    assert place.text("alice") != before


@in_a_loop
async def test_tokens_are_replaced_if_the_clock_is_set_forward(place: Place) -> None:
    place.watch(ALICE)
    await settled()
    place.clock.move_wall_clock(285)
    await place.after(0)
    assert place.renewals == [True, True]


@in_a_loop
async def test_a_token_counts_as_late_if_it_is_not_replaced_by_its_refresh_time(place: Place) -> None:
    place.watch(ALICE)
    await settled()
    place.issuer.failure = DOWN
    await place.after(285)
    assert place.tokens.late == 0
    await place.after(15)
    assert place.tokens.late == 1
    place.issuer.failure = None
    await place.after(60)
    place.tokens.tick()
    assert place.tokens.late == 0


@in_a_loop
async def test_a_token_that_cannot_be_issued_is_pending_and_late(place: Place) -> None:
    place.issuer.failure = DOWN
    place.watch(ALICE)
    await settled()
    assert place.tokens.get("alice", "own") is Missing.PENDING
    assert place.tokens.error("alice", "own") is DOWN
    place.tokens.tick()
    assert place.tokens.late == 1


@in_a_loop
async def test_a_refusal_removes_the_token(place: Place) -> None:
    place.watch(ALICE)
    await settled()
    place.issuer.failure = CallerNotAllowed("no")
    await place.after(285)
    assert place.tokens.get("alice", "own") is Missing.ABSENT
    assert place.woken == ["alice"] * 2
    place.issuer.failure = None
    await place.after(299)
    assert place.tokens.get("alice", "own") is Missing.ABSENT
    assert place.tokens.late == 0
    await place.after(1)
    assert place.text("alice")


@in_a_loop
async def test_a_token_without_a_stream_is_kept_for_the_next_stream(place: Place) -> None:
    wake = place.watch(ALICE)
    await settled()
    place.tokens.unwatch("alice", "own", wake)
    place.watch(ALICE)
    assert len(place.issuer.asked) == 1
    assert place.text("alice")


@in_a_loop
async def test_a_token_without_a_stream_is_not_replaced(place: Place) -> None:
    wake = place.watch(ALICE)
    await settled()
    place.tokens.unwatch("alice", "own", wake)
    await place.after(300)
    assert len(place.issuer.asked) == 1
    assert len(place.tokens) == 0


@in_a_loop
async def test_the_number_of_tokens_without_streams_is_limited(place: Place) -> None:
    for number in range(10):
        call = Call("StreamSecrets", "1", caller=f"caller {number}")
        wake = place.watch(call)
        await settled()
        place.tokens.unwatch(call.caller, "own", wake)
    assert len(place.tokens) <= 4


@in_a_loop
async def test_tokens_of_an_unpublished_key_are_replaced_within_seconds(place: Place) -> None:
    place.watch(ALICE)
    await settled()
    place.issuer.key_id = "k2"
    place.watch(BOB)
    await settled()
    place.published = {"k2"}
    place.tokens.replace_unpublished()
    await place.after(5)
    assert [caller for caller, _, _ in place.issuer.asked] == ["alice", "bob", "alice"]


@in_a_loop
async def test_issuing_is_retried_after_an_unexpected_error(place: Place) -> None:
    place.issuer.failure = RuntimeError("a defect")
    place.watch(ALICE)
    await settled()
    place.issuer.failure = None
    await place.after(1)
    assert place.text("alice")


@in_a_loop
async def test_a_changed_key_set_is_sent_to_streams_that_watch_it(place: Place) -> None:
    jwks, later, woken = b"1", list[float](), list[str]()

    def call_later(seconds: float, wake: Callable[[], None]) -> None:
        later.append(seconds)
        wake()

    key_set = KeySetSecret("keys", lambda text: text, call_later, lambda: 0.5)
    secrets = Secrets(place.tokens, key_set, lambda: jwks)
    secrets.tick()
    secrets.watch(ALICE, ["keys", "nothing"], lambda: woken.append("alice"))
    secrets.tick()
    assert woken == []
    jwks = b"2"
    secrets.tick()
    assert (woken, later) == (["alice"], [2.5])
    found = secrets.get("alice", "keys")
    assert isinstance(found, Resource)
    assert found.contents == b"2"


@in_a_loop
async def test_tokens_of_withdrawn_keys_are_replaced_after_a_key_set_change(place: Place) -> None:
    jwks = b"1"
    secrets = Secrets(place.tokens, None, lambda: jwks)
    secrets.watch(ALICE, ["own"], lambda: None)
    await settled()
    jwks, place.published = b"2", set()
    secrets.tick()
    place.clock.advance(5)
    secrets.tick()
    await settled()
    assert len(place.issuer.asked) == 2


@pytest.mark.parametrize("name", ["nothing", "keys"])
def test_a_name_without_a_secret_is_absent(name: str) -> None:
    async def tell() -> None:
        secrets = Secrets(Place().tokens, None, bytes)
        assert secrets.get("alice", name) is Missing.ABSENT

    asyncio.run(tell())
