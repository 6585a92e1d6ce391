import dataclasses
import logging
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.clock import FakeClock
from tests.fakes.oidc_provider import JWKS_PATH, Fault, OidcProvider, jwk, rsa_key, sign
from tests.unit.access.authentication.jwt.listener import (
    ACCEPTED,
    CALLER,
    NOW,
    SKEW,
    Listener,
    bearing,
    by_token,
    claims_of,
    refused,
    rotate,
    token_of,
)
from tests.unit.oidc.guarded_provider import GuardedProvider

from tokend_server.access.authentication.jwt import (
    KEYS_TOO_OLD,
    TokenIssuer,
    token_issuer,
)
from tokend_server.access.authentication.refusals import Refusal
from tokend_server.clock import SystemClock
from tokend_server.errors import EngineUnavailable
from tokend_server.oidc.issuers import Issuers
from tokend_server.oidc.keys import COOL_DOWN
from tokend_server.oidc.outbound import IssuerHttp


def test_a_token_is_verified_with_the_keys_and_audiences_of_its_issuer(
    provider: OidcProvider, kubernetes: TokenIssuer, http: IssuerHttp, clock: FakeClock
) -> None:
    with OidcProvider(jwks=[jwk(rsa_key("2"), kid="1")]) as other:
        ci = token_issuer(
            "ci",
            issuer=other.issuer,
            audiences=["tokend"],
            algorithms=["RS256"],
            skew=SKEW,
            http=http,
            clock=clock,
            issuers=Issuers(clock, 100),
        )
        listener = Listener(clock, [kubernetes, ci])
        theirs = sign({"alg": "RS256", "kid": "1"}, claims_of(other, sub="repo"), rsa_key("2"))
        assert listener.caller(theirs) == "jwt:ci:repo"
        assert listener.caller(token_of(provider)) == CALLER
        for_one_by_the_other = sign({"alg": "RS256", "kid": "1"}, claims_of(provider), rsa_key("2"))
        assert listener.outcome(for_one_by_the_other) == refused(Refusal.SIGNATURE)
        for_the_other_audience = sign(
            {"alg": "RS256", "kid": "1"}, claims_of(other, aud="tokend.example"), rsa_key("2")
        )
        assert listener.outcome(for_the_other_audience) == refused(Refusal.AUDIENCE)


def test_fifty_unknown_key_ids_make_one_fetch(provider: OidcProvider, listener: Listener, clock: FakeClock) -> None:
    def flood() -> None:
        for number in range(50):
            token = sign({"alg": "RS256", "kid": f"bogus-{number}"}, claims_of(provider), rsa_key("1"))
            if number == 0:
                assert listener.outcome(token) == refused(Refusal.KEY)
                continue
            with pytest.raises(EngineUnavailable, match="not known yet") as caught:
                listener.caller(token)
            assert caught.value.retry_after == COOL_DOWN

    flood()
    assert provider.fetches[JWKS_PATH] == 1
    clock.advance(COOL_DOWN)
    flood()
    assert provider.fetches[JWKS_PATH] == 2


def test_a_new_key_under_an_old_id_is_fetched(provider: OidcProvider, listener: Listener, clock: FakeClock) -> None:
    assert listener.caller(token_of(provider)) == CALLER
    provider.jwks = [jwk(rsa_key("2"), kid="1")]
    token = sign({"alg": "RS256", "kid": "1"}, claims_of(provider), rsa_key("2"))
    clock.advance(COOL_DOWN - 1)
    with pytest.raises(EngineUnavailable, match="not known yet") as caught:
        listener.caller(token)
    assert caught.value.retry_after == 1
    clock.advance(1)
    assert listener.outcome(token) == ACCEPTED
    assert provider.fetches[JWKS_PATH] == 2


@pytest.mark.parametrize("fault", [Fault.STATUS_500, Fault.GARBAGE, Fault.REDIRECT, Fault.DISCOVERY_OF_OTHER_ISSUER])
def test_a_failing_issuer_is_reported_as_unavailable(provider: OidcProvider, listener: Listener, fault: Fault) -> None:
    provider.fault = fault
    token = token_of(provider)
    with pytest.raises(EngineUnavailable, match="does not answer") as caught:
        listener.caller(token)
    assert caught.value.retry_after == COOL_DOWN
    assert token not in caught.value.text
    assert listener.refusals == [Refusal.KEYS_UNAVAILABLE]


def test_a_call_waits_for_an_issuer_until_the_keys_timeout(
    provider: OidcProvider, kubernetes: TokenIssuer, clock: FakeClock
) -> None:
    provider.fault = Fault.HANG
    impatient = by_token([dataclasses.replace(kubernetes, keys_timeout=0.02)], clock)
    with pytest.raises(EngineUnavailable, match="does not answer") as caught:
        impatient(bearing(token_of(provider)))
    assert caught.value.retry_after == 1
    assert provider.hanging.wait(10)
    provider.released.set()
    patient = by_token([kubernetes], clock)
    assert patient(bearing(token_of(provider))) == CALLER


def test_old_keys_are_used_while_the_issuer_is_unreachable(
    provider: OidcProvider, listener: Listener, clock: FakeClock
) -> None:
    listener.caller(token_of(provider))
    provider.stop()
    for _ in range(4):
        clock.advance(KEYS_TOO_OLD)
        lasting = token_of(provider, exp=NOW + 7200)
        assert listener.outcome(lasting) == ACCEPTED


def test_a_withdrawn_key_is_refused_once_the_cached_keys_are_too_old(
    provider: OidcProvider, listener: Listener, clock: FakeClock
) -> None:
    assert listener.caller(token_of(provider)) == CALLER
    rotate(provider)
    clock.advance(KEYS_TOO_OLD)
    assert listener.outcome(token_of(provider)) == refused(Refusal.KEY)


def test_an_issuer_may_require_a_bearer_token_and_use_a_private_ca(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "token").write_text("of-this-pod")
    with GuardedProvider(OidcProvider(), tmp_path, "of-this-pod") as guarded:
        issuer = token_issuer(
            "kubernetes",
            issuer="https://kubernetes.default.svc.cluster.local",
            audiences=["tokend"],
            algorithms=["RS256"],
            jwks_url=f"{guarded.issuer}/openid/v1/jwks",
            bearer_token_file=tmp_path / "token",
            skew=SKEW,
            http=IssuerHttp(guarded.ca_file),
            clock=clock,
            issuers=Issuers(clock, 100),
        )
        token = token_of(guarded.behind, iss="https://kubernetes.default.svc.cluster.local")
        assert Listener(clock, [issuer]).outcome(token) == ACCEPTED
        assert guarded.shown == [("/openid/v1/jwks", "Bearer of-this-pod")]


@pytest.mark.parametrize(
    "changes",
    [
        {"audiences": []},
        {"audiences": [""]},
        {"audiences": ["tokend", ""]},
        {"algorithms": []},
        {"algorithms": ["HS256"]},
        {"algorithms": ["RS256", "none"]},
        {"issuer": "http://login.example"},
        {"jwks_url": "http://login.example/jwks"},
        {"name": ""},
        {"name": "two:parts"},
        {"name": "with space"},
        {"name": "newline\n"},
    ],
    ids=str,
)
def test_invalid_issuer_settings_are_rejected(http: IssuerHttp, changes: dict[str, Any]) -> None:
    settings: dict[str, Any] = {
        "name": "kubernetes",
        "issuer": "https://login.example",
        "audiences": ["tokend"],
        "algorithms": ["RS256"],
        **changes,
    }
    with pytest.raises(ValueError, match=r"audience|algorithms|https|name"):
        token_issuer(
            settings.pop("name"),
            **settings,
            skew=SKEW,
            http=http,
            clock=SystemClock(),
            issuers=Issuers(SystemClock(), 4),
        )


def test_issuers_with_equal_names_or_equal_urls_are_rejected(kubernetes: TokenIssuer, clock: FakeClock) -> None:
    for other in (
        dataclasses.replace(kubernetes, name="other"),
        dataclasses.replace(kubernetes, issuer="https://other.example"),
        kubernetes,
    ):
        with pytest.raises(ValueError, match="unique"):
            by_token([kubernetes, other], clock)


def test_no_token_reaches_a_log(
    provider: OidcProvider, listener: Listener, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    expired = token_of(provider, exp=1, sub="subject-in-the-token")
    with caplog.at_level(logging.DEBUG):
        assert listener.outcome(expired) == refused(Refusal.EXPIRED)
        provider.fault = Fault.STATUS_500
        clock.advance(COOL_DOWN)
        with pytest.raises(EngineUnavailable):
            listener.caller(sign({"alg": "RS256", "kid": "canary-kid"}, claims_of(provider), rsa_key("1")))
    assert "expired" in caplog.text
    assert "callers' issuer kubernetes" in caplog.text
    assert not any(part in caplog.text for part in (*expired.split("."), "subject-in-the-token", "canary-kid"))
