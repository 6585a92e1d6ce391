"""The tokens of the local engine, compared with Cognito's format."""

from collections.abc import Mapping
from contextlib import closing, nullcontext
from datetime import timedelta
from pathlib import Path

import jwt
import pytest
from prometheus_client import CollectorRegistry
from tests.support.local_engine import DEVELOPER, ISSUER, NOW, POOL, LocalEngineUnderTest, parts_of

from tokend_server.clock import Deadline, SystemClock
from tokend_server.config import Config, Pool
from tokend_server.engines.local.build import build_local_engines
from tokend_server.engines.local.claims import authentication_methods
from tokend_server.engines.local.keys.jws import TokenType
from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.pool import LocalPool
from tokend_server.engines.local.resolution import PresentedLogins
from tokend_server.metrics import Metrics
from tokend_server.model import Login, Secret, TokenRequest

TAGS = "https://aws.amazon.com/tags"
ARN = "https://cognito-identity.amazonaws.com/identity-pool-arn"


@pytest.mark.parametrize("algorithm", SigningAlgorithm)
def test_every_algorithm_verifies_with_another_library(tmp_path: Path, algorithm: SigningAlgorithm) -> None:
    local = LocalEngineUnderTest(tmp_path, algorithm=algorithm)
    issued = local.issue("u")
    assert local.claims(issued)["sub"] == issued.identity_id
    assert issued.algorithm == algorithm.value
    local.close()


@pytest.mark.parametrize("token_type", TokenType)
def test_the_header_has_kid_typ_and_alg_in_this_order(tmp_path: Path, token_type: TokenType) -> None:
    with closing(LocalEngineUnderTest(tmp_path, token_type=token_type)) as local:
        header, _ = parts_of(local.issue("u").token)
        kid = local.store.signing_keys()[0].kid
    assert list(header.items()) == [("kid", kid), ("typ", token_type.value), ("alg", "ES256")]


def test_the_claims_are_in_the_order_of_cognito(local: LocalEngineUnderTest) -> None:
    issued = local.issue("u@x|1_ü")
    _, claims = parts_of(issued.token)
    assert list(claims.items()) == [
        ("sub", issued.identity_id),
        ("aud", POOL),
        ("amr", ["authenticated", DEVELOPER, f"{DEVELOPER}:{POOL}:u@x|1_ü"]),
        ("iss", ISSUER),
        ("exp", NOW + 900),
        ("iat", NOW),
    ]


def test_optional_claims_are_before_and_after_the_issuer(tmp_path: Path) -> None:
    local = LocalEngineUnderTest(tmp_path, identity_pool_arn_claim=True)
    _, claims = parts_of(local.issue("u", principal_tags={"team": "blue", "tier": "1"}).token)
    assert list(claims) == ["sub", "aud", "amr", TAGS, "iss", ARN, "exp", "iat"]
    assert claims[TAGS] == {"principal_tags": {"team": ["blue"], "tier": ["1"]}}
    assert claims[ARN] == f"arn:aws:cognito-identity:eu-west-1:123456789012:identitypool/{POOL}"
    local.close()


@pytest.mark.parametrize(
    ("region", "settings", "expected"),
    [
        ("us-east-1", {}, False),
        ("us-east-2", {}, True),
        ("us-east-1", {"identity_pool_arn_claim": True}, True),
        ("us-east-2", {"identity_pool_arn_claim": False}, False),
    ],
)
def test_tokens_have_the_pool_arn_except_in_us_east_1_unless_configured(
    tmp_path: Path, region: str, settings: Mapping[str, bool], *, expected: bool
) -> None:
    pool_id, clock = f"{region}:{POOL.partition(':')[2]}", SystemClock()
    pool = {"developer_provider_name": DEVELOPER, "signing_algorithm": "ES256", **settings}
    pools = {pool_id: Pool.model_validate(pool)}
    config, metrics = Config(data_dir=tmp_path, pools=pools), Metrics(CollectorRegistry())
    with closing(build_local_engines(config, pools, ISSUER, metrics, clock, lambda _: nullcontext())) as engines:
        request = TokenRequest(pool_id, {DEVELOPER: Secret("u")})
        issued = engines.by_pool[pool_id][0].get_open_id_token_for_developer_identity(request, Deadline(clock))
    _, claims = parts_of(issued.token)
    assert (ARN in claims) is expected


@pytest.mark.parametrize("seconds", [1, 900, 86_400])
def test_a_token_has_exactly_the_requested_lifetime(local: LocalEngineUnderTest, seconds: int) -> None:
    local.clock.advance(0.75)
    issued = local.issue("u", token_duration=timedelta(seconds=seconds))
    claims = local.claims(issued)
    assert (claims["iat"], claims["exp"]) == (NOW, NOW + seconds)
    assert (issued.expire_time, issued.refresh_time) == (NOW + seconds, NOW + seconds // 3)


def test_amr_has_only_the_presented_logins(local: LocalEngineUnderTest) -> None:
    identity_id = local.identity_of({DEVELOPER: "u", "idp.example.test": "user i"})
    local.issue("v", identity_id)
    entry = f"{DEVELOPER}:{POOL}:v"
    assert local.claims(local.issue("v"))["amr"] == ["authenticated", DEVELOPER, entry]
    assert local.claims(local.issue({DEVELOPER: "v", "idp.example.test": "user i"}))["amr"] == [
        "authenticated",
        DEVELOPER,
        entry,
        "idp.example.test",
        "arn:aws:iam::123456789012:oidc-provider/idp.example.test:OIDC:i",
    ]


def test_a_token_of_one_pool_does_not_pass_for_another(local: LocalEngineUnderTest) -> None:
    token = local.issue("u").token.reveal()
    key = jwt.PyJWKSet.from_json(local.signer.key_set().jwks.decode()).keys[0]
    with pytest.raises(jwt.InvalidAudienceError):
        jwt.decode(token, key, algorithms=["ES256"], audience="another pool", options={"verify_iat": False})


@pytest.mark.parametrize(
    ("region", "provider", "arn"),
    [
        ("eu-west-1", "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_A", None),
        ("cn-north-1", "cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_A", None),
        ("eu-west-1", "idp.example.test", "arn:aws:iam"),
        ("cn-north-1", "idp.example.test", "arn:aws-cn:iam"),
        ("us-gov-west-1", "idp.example.test", "arn:aws-us-gov:iam"),
    ],
)
def test_the_amr_entry_of_a_public_login_depends_on_its_provider(region: str, provider: str, arn: str | None) -> None:
    pool = LocalPool(
        identity_pool_id=f"{region}:1",
        developer_provider_name=DEVELOPER,
        login_providers={},
        signing_algorithm=SigningAlgorithm.ES256,
        token_type=TokenType.JWS,
        account_id="123456789012",
        identity_pool_arn_claim=False,
        issuer=ISSUER,
    )
    presented = PresentedLogins(Login(DEVELOPER, Secret("u")), (Login(provider, Secret("s")),))
    expected = f"{arn}::123456789012:oidc-provider/{provider}:OIDC:s" if arn else f"{provider}:CognitoSignIn:s"
    assert authentication_methods(pool, presented)[-2:] == [provider, expected]
