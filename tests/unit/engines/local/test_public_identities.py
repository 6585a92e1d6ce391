"""The API for users' devices: guests, identities of public logins, tokens, and rejections in Cognito's words."""

import itertools
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.local_engine import DEVELOPER, ISSUER, NOW, OTHER_POOL, POOL, LocalEngineUnderTest, parts_of

from tokend_server.config.key_times import CLOCK_SKEW
from tokend_server.engines.local.own_tokens import OwnTokens
from tokend_server.engines.local.public_identities import PublicIdentities
from tokend_server.engines.local.store import Change
from tokend_server.errors import (
    InvalidParameter,
    LoginProviderUnavailable,
    NotAuthorized,
    ResourceConflict,
    ResourceNotFound,
    TokendError,
)
from tokend_server.model import Identity, IdentityOutcome, Login, Secret

if TYPE_CHECKING:
    from tokend_server.clock import Deadline

GOOGLE, IDP = "accounts.google.com", "idp.example.test"
OWN = "cognito-identity.amazonaws.com"
CALLER = "unsigned:192.0.2.1"

GUESTS_OFF = "Unauthenticated access is not supported for this identity pool."
NO_MATCH = "Logins don't match. Please include at least one valid login for this identity or identity pool."


class Device:
    """The calls of a user's device to the engine of a pool.

    Attributes:
        public: The engine.
        created_by: The callers who have created identities.
    """

    def __init__(
        self,
        local: LocalEngineUnderTest,
        *,
        guests: bool = True,
        classic_flow: bool = True,
        tag_maps: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.local = local
        self.created_by: list[str] = []
        numbers = itertools.count(1)

        def new_identity(caller: str) -> nullcontext[None]:
            self.created_by.append(caller)
            return nullcontext()

        own_tokens = OwnTokens(local.signer.key_set, ISSUER, local.clock)
        self.public = PublicIdentities(
            replace(
                local.pool,
                allow_unauthenticated_identities=guests,
                allow_classic_flow=classic_flow,
                tag_maps=tag_maps or {},
            ),
            local.store,
            local.signer,
            own_tokens,
            local.clock,
            lambda: f"{next(numbers):08x}-de",
            new_identity,
        )

    def get_id(self, **users: str) -> str:
        return self.public.get_id(tokens(users), CALLER, self.local.deadline).identity_id

    def token(self, identity_id: str, logins: Mapping[str, Secret] | None = None) -> tuple[str, dict[str, Any]]:
        """Returns the identity of a token, and its claims, verified with the published keys."""
        issued = self.public.get_open_id_token(identity_id, logins or {}, self.local.deadline)
        return issued.identity_id, self.local.claims(issued)

    def own(self, user: str, identity_id: str | None = None, **options: Any) -> dict[str, Secret]:  # noqa: ANN401
        """Returns a backend's token for a developer user, as a login."""
        return {OWN: self.local.issue(user, identity_id, **options).token}

    def unlink(self, identity_id: str, logins: Mapping[str, Secret], *names: str) -> None:
        self.public.unlink_identity(identity_id, logins, names, self.local.deadline)

    def stored(self, identity_id: str) -> Identity:
        return self.local.stored(identity_id)


def tokens(users: Mapping[str, str]) -> dict[str, Secret]:
    """Returns valid login tokens of these users, from `google` and `idp`."""
    names = {"google": GOOGLE, "idp": IDP}
    return {names[name]: Secret(f"user {user}") for name, user in users.items()}


@pytest.fixture
def device(local: LocalEngineUnderTest) -> Device:
    return Device(local)


def refusal(ask: Any) -> tuple[type[TokendError], str]:  # noqa: ANN401 - a function
    with pytest.raises(TokendError) as refused:
        ask()
    return type(refused.value), refused.value.text


def test_each_call_without_logins_makes_a_guest(device: Device) -> None:
    guests = {device.get_id(), device.get_id()}
    assert len(guests) == 2
    assert all(device.stored(guest).logins == frozenset() for guest in guests)
    assert device.created_by == [CALLER] * 2


def test_guests_require_the_pools_permission(local: LocalEngineUnderTest) -> None:
    closed = Device(local, guests=False)
    assert refusal(closed.get_id) == (NotAuthorized, GUESTS_OFF)
    guest = local.guest()
    assert refusal(lambda: closed.token(guest)) == (NotAuthorized, GUESTS_OFF)
    assert closed.get_id(google="g1")


def test_a_public_login_has_one_identity(device: Device) -> None:
    registered = device.public.get_id(tokens({"google": "g1"}), CALLER, device.local.deadline)
    assert registered.outcome is IdentityOutcome.CREATED
    again = device.public.get_id(tokens({"google": "g1"}), CALLER, device.local.deadline)
    assert again == (registered.identity_id, IdentityOutcome.RETRIEVED)
    assert device.get_id(google="g2") != registered.identity_id
    assert device.stored(registered.identity_id).logins == {Login(GOOGLE, Secret("g1"))}
    assert device.created_by == [CALLER] * 2


def test_a_new_login_is_linked_to_the_identity_of_a_known_login(device: Device) -> None:
    first = device.get_id(google="g1")
    assert device.get_id(google="g1", idp="i1") == first == device.get_id(idp="i1")


def test_logins_of_two_identities_are_a_conflict(device: Device) -> None:
    device.get_id(google="g1")
    device.get_id(idp="i1")
    assert refusal(lambda: device.get_id(google="g1", idp="i1"))[0] is ResourceConflict
    device.get_id(google="g2", idp="i2")
    assert refusal(lambda: device.get_id(google="g2", idp="i3")) == (
        ResourceConflict,
        "The identity is already linked to another user of idp.example.test.",
    )


@pytest.mark.parametrize(
    ("logins", "expected"),
    [
        ({DEVELOPER: "alice"}, (InvalidParameter, "Please provide a valid public provider")),
        ({"other.example.test": "x"}, (InvalidParameter, "Please provide a valid public provider")),
        ({OWN: "x"}, (NotAuthorized, "Invalid login token. Can't pass in a Cognito token.")),
        (
            {"cognito-idp.eu-west-1.amazonaws.com/eu-west-1_x": "x"},
            (NotAuthorized, "Token is not from a supported provider of this identity pool."),
        ),
        (
            {"graph.facebook.com": "x"},
            (InvalidParameter, "The local engine does not support the login provider graph.facebook.com."),
        ),
        ({GOOGLE: "no token"}, (NotAuthorized, "Invalid login token. Couldn't verify signed token.")),
        (
            {GOOGLE: "user g1", IDP: "no token"},
            (NotAuthorized, "Invalid login token. Couldn't verify signed token."),
        ),
    ],
)
def test_logins_that_are_refused_make_no_identity(
    device: Device, logins: dict[str, str], expected: tuple[type[TokendError], str]
) -> None:
    given = {name: Secret(value) for name, value in logins.items()}
    assert refusal(lambda: device.public.get_id(given, CALLER, device.local.deadline)) == expected
    assert device.local.store.identities(POOL, max_results=1, after=None, hide_disabled=False) == []


def test_a_pool_without_providers_has_its_own_error(local: LocalEngineUnderTest) -> None:
    local.pool = replace(local.pool, login_providers={})
    expected = (NotAuthorized, f"Identity pool - {POOL} does not have identity providers configured.")
    assert refusal(lambda: Device(local).get_id(google="g1")) == expected


def test_an_unreachable_provider_is_not_the_callers_fault(device: Device) -> None:
    device.local.providers[GOOGLE].available = False
    assert refusal(lambda: device.get_id(google="g1"))[0] is LoginProviderUnavailable


def test_a_guest_token_is_unauthenticated_and_valid_for_ten_minutes(device: Device) -> None:
    guest = device.get_id()
    identity_id, claims = device.token(guest)
    assert identity_id == guest
    assert [*claims.items()] == [
        ("sub", guest),
        ("aud", POOL),
        ("amr", ["unauthenticated"]),
        ("iss", ISSUER),
        ("exp", NOW + 600),
        ("iat", NOW),
    ]


def test_the_token_of_a_public_login_names_its_provider(device: Device) -> None:
    identity_id = device.get_id(google="g1")
    issued_for, claims = device.token(identity_id, tokens({"google": "g1"}))
    assert issued_for == identity_id
    assert claims["amr"] == [
        "authenticated",
        GOOGLE,
        f"arn:aws:iam::123456789012:oidc-provider/{GOOGLE}:OIDC:g1",
    ]


def test_tokens_of_devices_require_the_classic_flow(local: LocalEngineUnderTest) -> None:
    closed = Device(local, classic_flow=False)
    guest = closed.get_id()
    text = "Basic (classic) flow is not enabled, please use enhanced flow."
    assert refusal(lambda: closed.token(guest)) == (InvalidParameter, text)
    assert closed.public.web_identity(guest, {}, local.deadline).claims["amr"] == ["unauthenticated"]


def test_an_identity_with_logins_needs_one_of_them(device: Device) -> None:
    user, backends = device.get_id(google="g1"), device.local.identity_of("alice")
    for identity_id in (user, backends):
        expected = (NotAuthorized, f"Access to Identity '{identity_id}' is forbidden.")
        assert refusal(lambda identity_id=identity_id: device.token(identity_id)) == expected
        other = tokens({"google": "g2"})
        assert refusal(lambda identity_id=identity_id, other=other: device.token(identity_id, other)) == (
            NotAuthorized,
            NO_MATCH,
        )
    device.get_id(idp="i1")
    assert refusal(lambda: device.token(user, tokens({"idp": "i1"}))) == (NotAuthorized, NO_MATCH)
    both = tokens({"google": "g1", "idp": "i1"})
    assert refusal(lambda: device.token(user, both))[0] is ResourceConflict


def test_a_disabled_and_an_unknown_identity_have_no_token(device: Device) -> None:
    left = device.local.identity_of("alice")
    own = device.own("alice")
    device.local.identity_of("bob")
    device.local.merge("alice", "bob")
    forbidden = (NotAuthorized, f"Access to Identity '{left}' is forbidden.")
    assert refusal(lambda: device.token(left)) == forbidden
    assert refusal(lambda: device.token(left, own)) == forbidden
    assert refusal(lambda: device.token(left, tokens({"google": "g1"}))) == forbidden
    unknown = "eu-west-1:00000000-ffff"
    assert refusal(lambda: device.token(unknown)) == (ResourceNotFound, f"Identity '{unknown}' not found.")


def test_a_guest_that_logs_in_keeps_its_id(device: Device) -> None:
    guest = device.get_id()
    issued = device.public.get_open_id_token(guest, tokens({"google": "g1"}), device.local.deadline)
    assert (issued.identity_id, issued.outcome) == (guest, IdentityOutcome.LINKED)
    assert device.get_id(google="g1") == guest
    assert refusal(lambda: device.token(guest))[0] is NotAuthorized


def test_a_guest_that_logs_in_to_an_existing_identity_is_merged_into_it(device: Device) -> None:
    user, guest = device.get_id(google="g1"), device.get_id()
    issued = device.public.get_open_id_token(guest, tokens({"google": "g1", "idp": "i1"}), device.local.deadline)
    assert (issued.identity_id, issued.outcome) == (user, IdentityOutcome.MERGED)
    assert parts_of(issued.token)[1]["sub"] == user
    assert device.stored(guest).disabled
    assert device.get_id(idp="i1") == user


def test_a_concurrent_change_repeats_the_decision(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    guest, reads = device.get_id(), itertools.count()
    read = device.local.store.read

    def read_before_another_logs_in(*arguments: Any) -> Any:  # noqa: ANN401 - as the store's
        found = read(*arguments)
        if next(reads) == 0:
            before = device.stored(guest)
            after = replace(before, logins=frozenset({Login(GOOGLE, Secret("g9"))}))
            device.local.store.commit(Change(before, after), deadline=device.local.deadline)
        return found

    monkeypatch.setattr(device.local.store, "read", read_before_another_logs_in)
    assert refusal(lambda: device.token(guest, tokens({"google": "g1"}))) == (NotAuthorized, NO_MATCH)


def test_the_token_of_a_backend_is_a_login(device: Device) -> None:
    own = device.own("alice", principal_tags={"team": "blue"})
    (shown,) = own.values()
    before = parts_of(shown)[1]
    identity_id, claims = device.token(before["sub"], own)
    assert identity_id == before["sub"]
    assert claims["amr"] == ["authenticated", DEVELOPER, f"{DEVELOPER}:{POOL}:alice"]
    assert claims["https://aws.amazon.com/tags"] == {"principal_tags": {"team": ["blue"]}}
    web_identity = device.public.web_identity(before["sub"], own, device.local.deadline)
    assert (web_identity.token, web_identity.claims) == (shown, before)


def test_a_token_expires_no_later_than_the_token_it_was_exchanged_for(device: Device) -> None:
    own = device.own("alice")
    user = device.local.identity_of("alice")
    device.local.clock.advance(400)
    assert device.token(user, own)[1]["exp"] == NOW + 900
    device.local.clock.advance(500)
    expired = (NotAuthorized, f"Invalid login token. Token expired: {NOW + 900} >= {NOW + 900}")
    assert refusal(lambda: device.token(user, own)) == expired


def test_a_token_with_iat_in_the_future_is_accepted_within_the_clock_skew(device: Device) -> None:
    own = device.own("alice")
    user = device.local.identity_of("alice")
    device.local.clock.move_wall_clock(-CLOCK_SKEW)
    assert device.token(user, own)[0] == user
    device.local.clock.move_wall_clock(-1)
    assert refusal(lambda: device.token(user, own)) == (NotAuthorized, "Invalid login token. Invalid claim: iat")


def test_invalid_tokens_of_the_service_are_rejected_as_logins(device: Device) -> None:
    user, other = device.local.identity_of("alice"), device.local.identity_of("bob")
    (shown,) = device.own("alice").values()
    text = shown.reveal()
    header, claims, signature = text.split(".")
    cases = {
        "no token": "Invalid login token. Not a valid OpenId Connect identity token.",
        f"{header}.{claims}.{signature[:-8]}AAAAAAAA": "Invalid login token. Couldn't verify signed token.",
    }
    for given, expected in cases.items():
        assert refusal(lambda given=given: device.token(user, {OWN: Secret(given)})) == (NotAuthorized, expected)
    assert refusal(lambda: device.token(other, {OWN: shown})) == (NotAuthorized, NO_MATCH)
    with_another = {OWN: shown, **tokens({"google": "g1"})}
    assert refusal(lambda: device.token(user, with_another))[0] is InvalidParameter


def test_tokens_of_another_issuer_and_of_another_pool_are_rejected(device: Device) -> None:
    (shown,) = device.own("alice").values()
    user = parts_of(shown)[1]["sub"]
    deadline: Deadline = device.local.deadline
    elsewhere = OwnTokens(device.local.signer.key_set, "https://elsewhere.example.test", device.local.clock)
    assert refusal(lambda: elsewhere.verify(shown, POOL, user, deadline)) == (
        NotAuthorized,
        "Invalid login token. Issuer doesn't match providerName",
    )
    here = OwnTokens(device.local.signer.key_set, ISSUER, device.local.clock)
    assert refusal(lambda: here.verify(shown, OTHER_POOL, user, deadline))[0] is NotAuthorized
    assert here.verify(shown, POOL, user, deadline)["sub"] == user


def test_a_deleted_identity_is_not_found_despite_a_valid_token(device: Device) -> None:
    own = device.own("alice")
    user = device.local.identity_of("alice")
    assert device.local.store.delete(user)
    assert refusal(lambda: device.token(user, own)) == (ResourceNotFound, f"Identity '{user}' not found.")


def test_an_unlinked_login_gets_a_new_identity(device: Device) -> None:
    user = device.get_id(google="g1", idp="i1")
    device.unlink(user, tokens({"google": "g1"}), IDP)
    assert device.stored(user).logins == {Login(GOOGLE, Secret("g1"))}
    assert device.get_id(idp="i1") != user
    device.unlink(user, tokens({"google": "g1"}), IDP)
    device.unlink(user, tokens({"google": "g1"}), GOOGLE)
    assert device.stored(user).disabled


def test_a_backends_token_unlinks_a_public_login_and_never_the_developer_user(device: Device) -> None:
    user = device.local.identity_of({DEVELOPER: "alice", GOOGLE: "user g1"})
    device.unlink(user, device.own("alice"), GOOGLE)
    assert device.stored(user).logins == {Login(DEVELOPER, Secret("alice"))}
    public = (InvalidParameter, "Please provide a valid public provider")
    assert refusal(lambda: device.unlink(user, device.own("alice"), DEVELOPER)) == public


def test_unlinking_requires_a_login_of_the_identity(device: Device) -> None:
    user = device.get_id(google="g1")
    before = device.stored(user)
    for logins in ({}, tokens({"google": "g2"}), tokens({"idp": "i1"})):
        assert refusal(lambda logins=logins: device.unlink(user, logins, GOOGLE)) == (NotAuthorized, NO_MATCH)
    assert device.stored(user) == before


TAGS = "https://aws.amazon.com/tags"


def test_claims_of_a_login_become_tags_by_the_providers_map(local: LocalEngineUnderTest) -> None:
    device = Device(local, tag_maps={IDP: {"team": "department", "user": "sub"}})
    identity = device.get_id(idp="i1", google="g1")
    _, claims = device.token(identity, tokens({"idp": "i1 department=sales", "google": "g1 department=other"}))
    assert claims[TAGS] == {"principal_tags": {"team": ["sales"], "user": ["i1"]}}
    assert TAGS not in device.token(identity, tokens({"google": "g1 department=other"}))[1]
    shown = device.own("alice", principal_tags={"team": "own"})
    assert device.token(local.identity_of("alice"), shown)[1][TAGS] == {"principal_tags": {"team": ["own"]}}


def test_claims_of_logins_do_not_replace_those_of_the_service(
    local: LocalEngineUnderTest,
) -> None:
    device = Device(local)
    identity = device.get_id(idp="i1")
    logins = tokens({"idp": f"i1 department=sales amr=unauthenticated iss=other {TAGS}=x", "google": "g1 department=b"})
    shown = device.public.web_identity(identity, logins, local.deadline)
    assert shown.claims["department"] == "b"  # of the first provider by name
    assert (shown.claims["sub"], shown.claims["amr"][0], shown.claims["iss"]) == (identity, "authenticated", ISSUER)
    assert TAGS not in shown.claims
    assert "department" not in parts_of(shown.token)[1]


def test_a_web_identity_has_the_client_id_of_its_first_provider(
    local: LocalEngineUnderTest,
) -> None:
    device = Device(local)
    identity = device.get_id(idp="i1")
    for login, client_id in (("i1 aud=web", "web"), ("i1 aud=app", "app")):
        shown = device.public.web_identity(identity, tokens({"idp": login, "google": "g1 aud=other"}), local.deadline)
        assert (shown.claims["amr"][1], shown.client_id) == (GOOGLE, "other")
        shown = device.public.web_identity(identity, tokens({"idp": login}), local.deadline)
        assert (shown.claims["amr"][1], shown.client_id) == (IDP, client_id)
    guest = device.get_id()
    assert device.public.web_identity(guest, {}, local.deadline).client_id == ""
    own = device.own("alice")
    assert device.public.web_identity(local.identity_of("alice"), own, local.deadline).client_id == ""
