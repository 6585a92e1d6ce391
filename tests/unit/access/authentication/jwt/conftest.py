import pytest
from tests.fakes.clock import FakeClock
from tests.fakes.oidc_provider import OidcProvider
from tests.unit.access.authentication.jwt.listener import NOW, SKEW, Listener

from tokend_server.access.authentication.jwt import TokenIssuer, token_issuer
from tokend_server.oidc.issuers import Issuers
from tokend_server.oidc.outbound import IssuerHttp


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=NOW + 0.5)


@pytest.fixture
def kubernetes(provider: OidcProvider, http: IssuerHttp, clock: FakeClock) -> TokenIssuer:
    return token_issuer(
        "kubernetes",
        issuer=provider.issuer,
        audiences=["tokend", "tokend.example"],
        algorithms=["RS256", "ES256"],
        skew=SKEW,
        http=http,
        clock=clock,
        issuers=Issuers(clock, 100),
    )


@pytest.fixture
def listener(kubernetes: TokenIssuer, clock: FakeClock) -> Listener:
    return Listener(clock, [kubernetes])
