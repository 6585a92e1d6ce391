"""Every row of the decision table for tokens, on a real store."""

import pytest
from tests.support.local_engine import DEVELOPER, ISSUER, NOW, POOL, LocalEngineUnderTest

from tokend_server.engines.local.outcomes import Situation
from tokend_server.engines.local.resolution import check_linkable
from tokend_server.errors import (
    DeveloperUserAlreadyRegistered,
    InvalidParameter,
    LimitExceeded,
    LoginProviderUnavailable,
    NotAuthorized,
    ResourceConflict,
    ResourceNotFound,
    TokendError,
)
from tokend_server.model import Identity, IdentityOutcome, Login, Secret

GOOGLE = "accounts.google.com"
IDP = "idp.example.test"

NO_MATCH = "Logins don't match. Please include at least one valid login for this identity or identity pool."
UNSUPPORTED = "This identity pool does not support the specified developer provider"


def dev(user: str, **public: str) -> dict[str, str]:
    """Logins of a developer user and of `google` and `idp` subjects."""
    names = {"google": GOOGLE, "idp": IDP}
    return {DEVELOPER: user} | {names[name]: f"user {subject}" for name, subject in public.items()}


def only_public(local: LocalEngineUnderTest, subject: str) -> str:
    """An identity with only a Google login: its developer user was unlinked."""
    identity_id = local.identity_of(dev("temporary", google=subject))
    local.unlink(identity_id, "temporary")
    return identity_id


def logins_of(local: LocalEngineUnderTest, identity_id: str) -> set[tuple[str, str]]:
    return {(login.provider_name, login.user_identifier.reveal()) for login in local.stored(identity_id).logins}


class TestWithoutIdentityId:
    def test_unknown_user_creates_an_identity(self, local: LocalEngineUnderTest) -> None:
        issued = local.issue("u")
        assert issued.outcome is IdentityOutcome.CREATED
        assert logins_of(local, issued.identity_id) == {(DEVELOPER, "u")}

    def test_unknown_user_with_unknown_public_login_creates_one_identity_with_both(
        self, local: LocalEngineUnderTest
    ) -> None:
        issued = local.issue(dev("u", google="g"))
        assert issued.outcome is IdentityOutcome.CREATED
        assert logins_of(local, issued.identity_id) == {(DEVELOPER, "u"), (GOOGLE, "g")}

    def test_known_user_is_retrieved(self, local: LocalEngineUnderTest) -> None:
        first = local.identity_of("u")
        second = local.issue("u")
        assert (second.identity_id, second.outcome) == (first, IdentityOutcome.RETRIEVED)

    def test_unknown_user_with_known_public_login_is_linked_to_its_identity(self, local: LocalEngineUnderTest) -> None:
        identity_id = only_public(local, "g")
        issued = local.issue(dev("u", google="g"))
        assert (issued.identity_id, issued.outcome) == (identity_id, IdentityOutcome.LINKED)
        assert logins_of(local, identity_id) == {(DEVELOPER, "u"), (GOOGLE, "g")}

    def test_known_user_with_unknown_public_login_links_it(self, local: LocalEngineUnderTest) -> None:
        identity_id = local.identity_of("u")
        issued = local.issue(dev("u", google="g", idp="i"))
        assert (issued.identity_id, issued.outcome) == (identity_id, IdentityOutcome.LINKED)
        assert logins_of(local, identity_id) == {(DEVELOPER, "u"), (GOOGLE, "g"), (IDP, "i")}

    def test_known_user_with_its_public_login_is_retrieved(self, local: LocalEngineUnderTest) -> None:
        local.issue(dev("u", google="g"))
        assert local.issue(dev("u", google="g")).outcome is IdentityOutcome.RETRIEVED

    def test_user_and_public_login_of_different_identities_conflict(self, local: LocalEngineUnderTest) -> None:
        local.issue("u")
        local.issue(dev("v", google="g"))
        refused(local, dev("u", google="g"), ResourceConflict, "The logins are linked to different identities.")

    def test_public_logins_of_different_identities_conflict(self, local: LocalEngineUnderTest) -> None:
        local.issue(dev("v", google="g"))
        local.issue(dev("w", idp="i"))
        refused(
            local, dev("u", google="g", idp="i"), ResourceConflict, "The logins are linked to different identities."
        )


class TestWithIdentityId:
    def test_guest_is_linked(self, local: LocalEngineUnderTest) -> None:
        guest = local.guest()
        issued = local.issue("u", guest)
        assert (issued.identity_id, issued.outcome) == (guest, IdentityOutcome.LINKED)
        assert local.identity_of("u") == guest

    def test_guest_is_linked_with_public_logins(self, local: LocalEngineUnderTest) -> None:
        guest = local.guest()
        assert local.identity_of(dev("u", google="g"), guest) == guest
        assert logins_of(local, guest) == {(DEVELOPER, "u"), (GOOGLE, "g")}

    def test_identity_with_only_public_logins_requires_one_of_them(self, local: LocalEngineUnderTest) -> None:
        identity_id = only_public(local, "g")
        refused(local, dev("u"), NotAuthorized, NO_MATCH, identity_id)
        refused(local, dev("u", idp="i"), NotAuthorized, NO_MATCH, identity_id)

    def test_identity_with_only_public_logins_is_linked_by_one_of_them(self, local: LocalEngineUnderTest) -> None:
        identity_id = only_public(local, "g")
        issued = local.issue(dev("u", google="g"), identity_id)
        assert (issued.identity_id, issued.outcome) == (identity_id, IdentityOutcome.LINKED)

    def test_second_developer_user_is_linked(self, local: LocalEngineUnderTest) -> None:
        identity_id = local.identity_of("u")
        assert local.identity_of("v", identity_id) == identity_id
        assert local.users_of(identity_id) == {"u", "v"}

    def test_user_of_the_identity_is_retrieved(self, local: LocalEngineUnderTest) -> None:
        identity_id = local.identity_of("u")
        assert local.issue("u", identity_id).outcome is IdentityOutcome.RETRIEVED

    @pytest.mark.parametrize("guest", [True, False])
    def test_user_of_another_identity_is_already_registered(self, local: LocalEngineUnderTest, *, guest: bool) -> None:
        local.issue("u")
        identity_id = local.guest() if guest else local.identity_of("v")
        text = "This developer user identifier is already registered with Cognito."
        refused(local, dev("u"), DeveloperUserAlreadyRegistered, text, identity_id)

    def test_public_login_of_another_identity_conflicts(self, local: LocalEngineUnderTest) -> None:
        local.issue(dev("v", google="g"))
        identity_id = local.identity_of("u")
        text = "A login is already linked to another identity."
        refused(local, dev("u", google="g"), ResourceConflict, text, identity_id)
        refused(local, dev("w", google="g"), ResourceConflict, text, local.guest())

    def test_unknown_identity_is_not_found(self, local: LocalEngineUnderTest) -> None:
        identity_id = "eu-west-1:ffffffff"
        refused(local, dev("u"), ResourceNotFound, f"Identity '{identity_id}' not found.", identity_id)

    def test_disabled_identity_is_forbidden(self, local: LocalEngineUnderTest) -> None:
        identity_id = local.identity_of("u")
        local.unlink(identity_id, "u")
        refused(local, dev("u"), NotAuthorized, f"Access to Identity '{identity_id}' is forbidden.", identity_id)

    def test_disabled_identity_is_forbidden_to_its_former_user(self, local: LocalEngineUnderTest) -> None:
        source = local.identity_of("u")
        local.issue("v")
        local.merge("u", "v")
        refused(local, dev("u"), NotAuthorized, f"Access to Identity '{source}' is forbidden.", source)


class TestLimits:
    def test_second_user_of_a_public_provider_conflicts(self, local: LocalEngineUnderTest) -> None:
        local.issue(dev("u", google="g"))
        text = f"The identity is already linked to another user of {GOOGLE}."
        refused(local, dev("u", google="other"), ResourceConflict, text)

    def test_identity_has_at_most_twenty_logins(self, local: LocalEngineUnderTest) -> None:
        identity_id = local.identity_of("user 1")
        for number in range(2, 21):
            local.issue(f"user {number}", identity_id)
        assert len(local.stored(identity_id).logins) == 20
        text = "An identity can have at most 20 linked logins."
        refused(local, dev("user 21"), LimitExceeded, text, identity_id)
        assert local.issue("user 20", identity_id).outcome is IdentityOutcome.RETRIEVED

    def test_several_logins_at_once_do_not_pass_the_limit(self, local: LocalEngineUnderTest) -> None:
        identity_id = local.identity_of("user 1")
        for number in range(2, 20):
            local.issue(f"user {number}", identity_id)
        refused(local, dev("user 20", google="g"), LimitExceeded, None, identity_id)
        assert len(local.stored(identity_id).logins) == 19

    def test_merge_does_not_pass_the_limit(self, local: LocalEngineUnderTest) -> None:
        source, destination = local.identity_of("source 1"), local.identity_of("destination 1")
        for number in range(2, 12):
            local.issue(f"source {number}", source)
        for number in range(2, 11):
            local.issue(f"destination {number}", destination)
        with pytest.raises(LimitExceeded):
            local.merge("source 1", "destination 1")
        local.unlink(source, "source 11")
        assert local.merge("source 1", "destination 1") == destination
        assert len(local.stored(destination).logins) == 20

    def test_merge_of_two_users_of_a_public_provider_conflicts(self, local: LocalEngineUnderTest) -> None:
        source = local.identity_of(dev("source", google="g"))
        local.issue(dev("destination", google="other"))
        with pytest.raises(ResourceConflict):
            local.merge("source", "destination")
        assert logins_of(local, source) == {(DEVELOPER, "source"), (GOOGLE, "g")}

    def test_merge_moves_public_logins_too(self, local: LocalEngineUnderTest) -> None:
        source = local.identity_of(dev("source", google="g"))
        destination = local.identity_of(dev("destination", idp="i"))
        local.merge("source", "destination")
        expected = {(DEVELOPER, "source"), (GOOGLE, "g"), (DEVELOPER, "destination"), (IDP, "i")}
        assert logins_of(local, destination) == expected
        assert (logins_of(local, source), local.stored(source).disabled) == (set(), True)

    def test_the_first_provider_by_name_is_named_among_several_conflicts(self) -> None:
        names = [f"idp-{number:02}.example.test" for number in range(100)]
        identity = Identity("eu-west-1:1", POOL, NOW, NOW, frozenset(Login(name, Secret("g")) for name in names))
        with pytest.raises(ResourceConflict, match=r"another user of idp-00\.example\.test\."):
            check_linkable(
                identity,
                [Login(name, Secret("other")) for name in reversed(names)],
                developer_provider_name=DEVELOPER,
                second_user=Situation.SECOND_USER_OF_PUBLIC_PROVIDER,
            )


class TestProviders:
    @pytest.mark.parametrize(
        ("logins", "error", "text"),
        [
            (
                {GOOGLE: "user g"},
                InvalidParameter,
                f"Logins must contain the developer provider of this identity pool, {DEVELOPER}.",
            ),
            ({DEVELOPER: "u", "other.example.test": "v"}, InvalidParameter, UNSUPPORTED),
            ({"other.example.test": "u"}, InvalidParameter, UNSUPPORTED),
            ({"other.example.test": "u", "another.example.test": "v"}, InvalidParameter, UNSUPPORTED),
            ({"other.example.test": "u", GOOGLE: "user g"}, InvalidParameter, UNSUPPORTED),
            (
                {"other.example.test": "u", "graph.facebook.com": "t"},
                InvalidParameter,
                f"The local engine does not support the login provider graph.facebook.com. {UNSUPPORTED}.",
            ),
            (
                {DEVELOPER: "u", "graph.facebook.com": "t", "www.amazon.com": "t"},
                InvalidParameter,
                (
                    "The local engine does not support the login provider graph.facebook.com. "
                    "The local engine does not support the login provider www.amazon.com."
                ),
            ),
            (
                {"graph.facebook.com": "t", "www.amazon.com": "t"},
                InvalidParameter,
                (
                    f"Logins must contain the developer provider of this identity pool, {DEVELOPER}. "
                    "The local engine does not support the login provider graph.facebook.com. "
                    "The local engine does not support the login provider www.amazon.com."
                ),
            ),
            (
                {DEVELOPER: "u", "appleid.apple.com": "t", "graph.facebook.com": "t"},
                InvalidParameter,
                "The local engine does not support the login provider graph.facebook.com.",
            ),
            (
                {DEVELOPER: "u", "appleid.apple.com": "t", "cognito-identity.amazonaws.com": "t"},
                NotAuthorized,
                "Token is not from a supported provider of this identity pool.",
            ),
            (
                {DEVELOPER: "u", "appleid.apple.com": "t"},
                NotAuthorized,
                "Token is not from a supported provider of this identity pool.",
            ),
            (
                {DEVELOPER: "u", "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_A": "t"},
                NotAuthorized,
                "Token is not from a supported provider of this identity pool.",
            ),
            (
                {DEVELOPER: "u", "cognito-identity.amazonaws.com": "t"},
                NotAuthorized,
                "Invalid login token. Can't pass in a Cognito token.",
            ),
            (
                {DEVELOPER: "u", ISSUER.removeprefix("https://"): "t"},
                NotAuthorized,
                "Invalid login token. Can't pass in a Cognito token.",
            ),
            ({}, InvalidParameter, f"Logins must contain the developer provider of this identity pool, {DEVELOPER}."),
        ],
    )
    def test_logins_not_supported_by_the_pool_are_rejected(
        self, local: LocalEngineUnderTest, logins: dict[str, str], error: type[TokendError], text: str
    ) -> None:
        refused(local, logins, error, text)

    def test_google_login_is_not_authorized_if_google_is_not_configured(self, local: LocalEngineUnderTest) -> None:
        del local.providers[GOOGLE]
        text = "Token is not from a supported provider of this identity pool."
        refused(local, dev("u", google="g"), NotAuthorized, text)

    @pytest.mark.parametrize("provider", ["api.twitter.com", "www.digits.com", "graph.facebook.com", "www.amazon.com"])
    def test_opaque_providers_are_named(self, local: LocalEngineUnderTest, provider: str) -> None:
        text = f"The local engine does not support the login provider {provider}."
        refused(local, {DEVELOPER: "u", provider: "t"}, InvalidParameter, text)

    def test_one_bad_token_fails_the_call_and_changes_nothing(self, local: LocalEngineUnderTest) -> None:
        identity_id = local.identity_of("u")
        with pytest.raises(NotAuthorized):
            local.issue({DEVELOPER: "u", GOOGLE: "user g", IDP: "bad"})
        assert logins_of(local, identity_id) == {(DEVELOPER, "u")}

    def test_an_unavailable_provider_fails_the_call(self, local: LocalEngineUnderTest) -> None:
        local.providers[IDP].available = False
        with pytest.raises(LoginProviderUnavailable):
            local.issue(dev("u", idp="i"))
        assert local.store.owners(local.pool.identity_pool_id, [Login(DEVELOPER, Secret("u"))]) == [None]


def refused(
    local: LocalEngineUnderTest,
    logins: dict[str, str],
    error: type[TokendError],
    text: str | None,
    identity_id: str | None = None,
) -> None:
    """Checks that the call fails with exactly this error, and that no login has moved."""
    before = local.store.identities(local.pool.identity_pool_id, max_results=60, after=None, hide_disabled=False)
    with pytest.raises(TokendError) as refusal:
        local.issue(logins, identity_id)
    assert type(refusal.value) is error
    if text is not None:
        assert refusal.value.text == text
    after = local.store.identities(local.pool.identity_pool_id, max_results=60, after=None, hide_disabled=False)
    assert before == after
