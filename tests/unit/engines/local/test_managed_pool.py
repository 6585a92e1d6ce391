"""Which providers' logins a pool created by callers accepts, and for which subjects."""

from collections.abc import Mapping
from typing import Any

import pytest
from tests.fakes.login_provider import FakeLoginProvider

from tokend_server.config import Aws
from tokend_server.engines.local.managed_pool import client_ids_by_provider, managed_pool
from tokend_server.engines.local.principal_tags import DEFAULTS
from tokend_server.model import IdentityPool

USER_POOL = "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_shop"
SHOP = {"IdentityPoolName": "shop", "AllowUnauthenticatedIdentities": False, "DeveloperProviderName": "login.shop"}
DECLARED = Aws.model_validate(
    {
        "account_id": "111122223333",
        "open_id_connect_providers": {
            "idp.example": {"client_ids": ["a", "b"], "issuer": "https://idp.internal", "clock_skew_seconds": 7},
            "silent.example": {},
            USER_POOL: {"issuer": "http://127.0.0.1:9229/eu-west-1_shop"},
        },
    }
)


def made(**settings: object) -> IdentityPool:
    return IdentityPool("eu-west-1:0a", {**SHOP, **settings})


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {}),
        (
            {"SupportedLoginProviders": {"accounts.google.com": "g", "appleid.apple.com": "i"}},
            {"accounts.google.com": ("g",), "appleid.apple.com": ("i",)},
        ),
        ({"SupportedLoginProviders": {"graph.facebook.com": "1", "login.other": "2"}}, {}),
        (
            {
                "CognitoIdentityProviders": [
                    {"ProviderName": USER_POOL, "ClientId": "web", "ServerSideTokenCheck": True},
                    {"ProviderName": USER_POOL, "ClientId": "phone"},
                    {"ProviderName": USER_POOL, "ClientId": "web"},
                ]
            },
            {USER_POOL: ("web", "phone")},
        ),
        (
            {
                "CognitoIdentityProviders": [
                    {"ProviderName": "idp.example", "ClientId": "a"},
                    {"ProviderName": USER_POOL},
                    {"ClientId": "a"},
                ]
            },
            {},
        ),
        (
            {"OpenIdConnectProviderARNs": ["arn:aws:iam::111122223333:oidc-provider/idp.example"]},
            {"idp.example": ("a", "b")},
        ),
        # From a client without an account id.
        ({"OpenIdConnectProviderARNs": ["arn:aws-cn:iam:::oidc-provider/idp.example"]}, {"idp.example": ("a", "b")}),
        ({"OpenIdConnectProviderARNs": ["arn:aws:iam::999988887777:oidc-provider/other.example"]}, {}),
        ({"OpenIdConnectProviderARNs": ["arn:aws:iam::111122223333:oidc-provider/silent.example"]}, {}),
        ({"OpenIdConnectProviderARNs": ["arn:aws:iam::111122223333:saml-provider/idp.example"]}, {}),
        (
            {
                "DeveloperProviderName": "idp.example",
                "OpenIdConnectProviderARNs": ["arn:aws:iam::111122223333:oidc-provider/idp.example"],
            },
            {},
        ),
    ],
)
def test_only_providers_with_verifiable_tokens_are_accepted(
    settings: dict[str, object], expected: Mapping[str, tuple[str, ...]]
) -> None:
    assert client_ids_by_provider(made(**settings), DECLARED) == expected


def test_each_provider_is_built_as_it_is_declared() -> None:
    built: dict[str, tuple[Any, ...]] = {}

    def build(name: str, client_ids: tuple[str, ...], issuer: str | None, *, skew: float) -> FakeLoginProvider:
        built[name] = (client_ids, issuer, skew)
        return FakeLoginProvider()

    pool = made(
        SupportedLoginProviders={"accounts.google.com": "g"},
        CognitoIdentityProviders=[{"ProviderName": USER_POOL, "ClientId": "web"}],
        OpenIdConnectProviderARNs=["arn:aws:iam::111122223333:oidc-provider/idp.example"],
    )._replace(principal_tags={USER_POOL: {"UseDefaults": True}, "idp.example": {"PrincipalTags": {"team": "dept"}}})
    served = managed_pool(pool, DECLARED, "https://tokens.example", build)
    assert built == {
        "accounts.google.com": (("g",), None, 300.0),
        USER_POOL: (("web",), "http://127.0.0.1:9229/eu-west-1_shop", 300.0),
        "idp.example": (("a", "b"), "https://idp.internal", 7.0),
    }
    assert served.login_providers.keys() == built.keys()
    assert served.tag_maps == {USER_POOL: DEFAULTS, "idp.example": {"team": "dept"}}
    assert (served.developer_provider_name, served.account_id) == ("login.shop", "111122223333")
