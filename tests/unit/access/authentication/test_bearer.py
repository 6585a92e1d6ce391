"""Bearer tokens in `authorization` (RFC 6750, section 2.1)."""

import pytest

from tokend_server.access.authentication.bearer import bearer_token
from tokend_server.access.authentication.presented import PresentedCredentials
from tokend_server.errors import CallerUnauthenticated
from tokend_server.model import Secret


def presented(*values: str) -> PresentedCredentials:
    return PresentedCredentials(authorization=tuple(Secret(value) for value in values))


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
@pytest.mark.parametrize("token", ["a", "tokend_-AZ09", "eyJh.eyJp.c2ln", "a~b+c/d-e._", "YQ==", "a="])
def test_a_bearer_token_is_accepted(scheme: str, token: str) -> None:
    assert bearer_token(presented(f"{scheme} {token}")) == Secret(token)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer  a",
        "Bearer\ta",
        " Bearer a",
        "Bearer a ",
        "Bearer a\n",
        "Bearer a b",
        "Bearer a,b",
        "Bearer =",
        "Bearer a=b",
        "Bearer a\u00e9",
        "Bearer \u0661",
        "Bearera",
        "Bearer:a",
        "XBearer a",
        "a",
        "Basic dXNlcjpwYXNz",
        "DPoP a",
        "AWS4-HMAC-SHA256 Credential=a, Bearer a",
    ],
)
def test_other_authorization_values_are_not_bearer_tokens(value: str) -> None:
    assert bearer_token(presented(value)) is None


def test_without_authorization_there_is_no_bearer_token() -> None:
    assert bearer_token(presented()) is None


@pytest.mark.parametrize("second", ["Bearer a", "Bearer b", "Basic dXNlcjpwYXNz", ""])
def test_more_than_one_authorization_is_refused_and_not_repeated(second: str) -> None:
    for values in (("Bearer a", second), (second, "Bearer a")):
        with pytest.raises(CallerUnauthenticated, match="more than one authorization header"):
            bearer_token(presented(*values))


def test_the_representation_of_credentials_has_no_secret() -> None:
    assert "hidden" not in f"{presented('Bearer hidden')} {presented('Bearer hidden')!r}"
