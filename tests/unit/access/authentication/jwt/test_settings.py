"""The settings of tokens, from the configuration to the call."""

from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from tests.fakes.clock import FakeClock
from tests.fakes.oidc_provider import OidcProvider
from tests.unit.access.authentication.jwt.listener import NOW, bearing, token_of

from tokend_server.access.build import build_access_control
from tokend_server.clock import Deadline
from tokend_server.config import Config
from tokend_server.config.warnings import config_warnings
from tokend_server.engines.local.build import build_local_engines
from tokend_server.errors import NotAuthorized
from tokend_server.metrics import Metrics
from tokend_server.model import Secret, TokenRequest

POOL = "eu-west-1:11111111-2222-3333-4444-555555555555"


def config_with(directory: Path, provider: OidcProvider, issuer: dict[str, Any], **callers: Any) -> Config:  # noqa: ANN401 - any setting
    login = {"client_ids": ["app"], "issuer": provider.issuer, **issuer}
    return Config.model_validate(
        {
            "grpc": {"identify_by": ["jwt"]},
            "callers": {
                "jwt": {
                    "kubernetes": {
                        "issuer": provider.issuer,
                        "audiences": ["tokend"],
                        "algorithms": ["RS256"],
                        **issuer,
                    }
                },
                **callers,
            },
            "policy": {"all": {"callers": ["**"], "pools": ["*"], "operations": ["*"]}},
            "data_dir": directory,
            "pools": {
                POOL: {
                    "developer_provider_name": "login.shop.example",
                    "signing_algorithm": "ES256",
                    "open_id_connect_providers": {"login.example": login},
                }
            },
        }
    )


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


@pytest.mark.parametrize(
    ("settings", "skew"), [({}, 60), ({"clock_skew_seconds": 5}, 5), ({"clock_skew_seconds": 0}, 0)]
)
def test_the_configured_clock_skew_applies_to_tokens_of_callers(  # noqa: PLR0913, PLR0917 - fixtures
    tmp_path: Path, provider: OidcProvider, clock: FakeClock, metrics: Metrics, settings: dict[str, Any], skew: int
) -> None:
    config = config_with(tmp_path, provider, settings)
    ((_, authenticator),) = build_access_control(config, metrics, clock).authenticators(config.grpc.all_listeners[0])
    assert authenticator(bearing(token_of(provider, exp=NOW - skew + 1, iat=NOW + skew, nbf=NOW + skew)))
    for changes in ({"exp": NOW - skew}, {"iat": NOW + skew + 1}, {"nbf": NOW + skew + 1}):
        assert authenticator(bearing(token_of(provider, **changes))) is None


@pytest.mark.parametrize("longest", [2048, 16384])
def test_the_configured_length_limit_applies_to_tokens_of_callers(
    tmp_path: Path, provider: OidcProvider, clock: FakeClock, metrics: Metrics, longest: int
) -> None:
    config = config_with(tmp_path, provider, {}, max_token_bytes=longest)
    ((_, authenticator),) = build_access_control(config, metrics, clock).authenticators(config.grpc.all_listeners[0])
    fitting = "p" * ((longest - len(token_of(provider, pad=""))) * 3 // 4)
    assert authenticator(bearing(token_of(provider, pad=fitting)))
    assert authenticator(bearing(token_of(provider, pad=f"{fitting}pppp"))) is None
    refused = metrics.registry.get_sample_value("tokend_caller_tokens_refused_total", {"why": "too_long"})
    assert refused == 1


@pytest.mark.parametrize(("settings", "skew"), [({}, 300), ({"clock_skew_seconds": 5}, 5)])
def test_the_configured_clock_skew_applies_to_tokens_of_login_providers(  # noqa: PLR0913, PLR0917 - fixtures
    tmp_path: Path, provider: OidcProvider, clock: FakeClock, metrics: Metrics, settings: dict[str, Any], skew: int
) -> None:
    config = config_with(tmp_path, provider, settings)
    engines = build_local_engines(
        config, config.pools, "https://tokend.example", metrics, clock, lambda _caller: nullcontext()
    )
    with closing(engines):
        for exp, passes in ((NOW - skew + 1, True), (NOW - skew, False)):
            token = Secret(token_of(provider, aud="app", exp=exp))
            request = TokenRequest(POOL, {"login.shop.example": Secret("alice"), "login.example": token})
            if passes:
                assert engines.by_pool[POOL][0].get_open_id_token_for_developer_identity(request, Deadline(clock))
                continue
            with pytest.raises(NotAuthorized, match="Token expired"):
                engines.by_pool[POOL][0].get_open_id_token_for_developer_identity(request, Deadline(clock))


def test_a_token_limit_above_the_metadata_limit_causes_a_warning(tmp_path: Path, provider: OidcProvider) -> None:
    (warning,) = config_warnings(config_with(tmp_path, provider, {}, max_token_bytes=8193), {})
    assert warning.startswith("callers.max_token_bytes: grpc.max_metadata_bytes is less")
    assert not list(config_warnings(config_with(tmp_path, provider, {}, max_token_bytes=8192), {}))
