"""The rules of other clouds for issuers and tokens: violations are reported, and settings at the limit are accepted."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import botocore.session
import pytest

from tokend_server.config import Config, Issuer, Pool
from tokend_server.config.federation import (
    RULES,
    Cloud,
    FederatedPool,
    Rule,
    checked_federation_rules,
    federated_pools,
    federation_problems,
)

POOL_ID = "eu-west-1:3f1c2d4e-5a6b-4c7d-8e9f-0a1b2c3d4e5f"

COMPLIANT = FederatedPool(
    identity_pool_id=POOL_ID,
    issuer="https://tokens.example.com/acme",
    algorithm="RS256",
    longest_token=86_400,
    max_keys={"RSA": 100, "EC": 100},
    fixed_tags={"sds.tokens.web.principal_tags": {"Team-1 é": "a_b.c:d/e=f+g-h@i"}},
)


def issuer_of(characters: int) -> Mapping[str, Any]:
    return {"issuer": "https://tokens.example.com/".ljust(characters, "a")}


def audience_of(characters: int) -> Mapping[str, Any]:
    return {"identity_pool_id": "a:".ljust(characters, "0")}


def subject_of(octets: int) -> Mapping[str, Any]:
    return {"identity_pool_id": "a" * (octets - 37) + ":0"}


HTTPS = ({"issuer": "https://tokens.example.com"}, {"issuer": "http://tokens.example.com"})
PUBLIC = ({"issuer": "https://8.8.8.8"}, {"issuer": "https://tokens.acme.internal"})
LETTERS = ({"issuer": "https://tokens.example.com/A"}, {"issuer": "https://Tokens.example.com"})

Change = Mapping[str, Any]

#: For each rule, a change of a valid pool that just complies, and one that violates the rule.
CHANGES: Mapping[tuple[Cloud, str], tuple[Change, Change]] = {
    (Cloud.AWS_STS, "https"): HTTPS,
    (Cloud.AWS_STS, "public host"): PUBLIC,
    (Cloud.AWS_STS, "port"): (
        {"issuer": "https://tokens.example.com/a:1"},
        {"issuer": "https://tokens.example.com:443"},
    ),
    (Cloud.AWS_STS, "small letters"): LETTERS,
    (Cloud.AWS_STS, "issuer"): (issuer_of(255), issuer_of(256)),
    (Cloud.AWS_STS, "aud"): (audience_of(255), audience_of(256)),
    (Cloud.AWS_STS, "sub"): (subject_of(255), subject_of(256)),
    (Cloud.AWS_STS, "algorithm"): ({"algorithm": "ES512"}, {"algorithm": "PS256"}),
    (Cloud.AWS_STS, "keys"): ({"max_keys": {"RSA": 100, "EC": 100}}, {"max_keys": {"RSA": 1, "EC": 101}}),
    (Cloud.AWS_STS, "tags"): ({"fixed_tags": {"s": {"k": ""}}}, {"fixed_tags": {"s": {"good": "a", "bad": "a|b"}}}),
    (Cloud.ENTRA, "https"): HTTPS,
    (Cloud.ENTRA, "public host"): PUBLIC,
    (Cloud.ENTRA, "issuer"): (issuer_of(600), issuer_of(601)),
    (Cloud.ENTRA, "aud"): (audience_of(600), audience_of(601)),
    (Cloud.ENTRA, "sub"): (subject_of(600), subject_of(601)),
    (Cloud.ENTRA, "algorithm"): ({"algorithm": "RS256"}, {"algorithm": "RS512"}),
    (Cloud.ENTRA, "small letters"): LETTERS,
    (Cloud.GOOGLE, "https"): HTTPS,
    (Cloud.GOOGLE, "public host"): PUBLIC,
    (Cloud.GOOGLE, "small letters"): LETTERS,
    (Cloud.GOOGLE, "aud"): (audience_of(256), audience_of(257)),
    (Cloud.GOOGLE, "sub"): (subject_of(127), subject_of(128)),
    (Cloud.GOOGLE, "algorithm"): ({"algorithm": "ES256"}, {"algorithm": "RS512"}),
    (Cloud.GOOGLE, "lifetime"): ({"longest_token": 172_799}, {"longest_token": 172_800}),
}

ALL = {(cloud, rule.name): rule for cloud, rules in RULES.items() for rule in rules}


def broken(rule: Rule, pool: FederatedPool) -> list[str]:
    assert rule.check
    return list(rule.check(pool))


def test_each_checked_rule_is_tested_and_rule_names_are_unique_for_a_cloud() -> None:
    assert {key for key, rule in ALL.items() if rule.check} == CHANGES.keys()
    assert len(ALL) == sum(map(len, RULES.values()))
    assert RULES.keys() == set(Cloud)


@pytest.mark.parametrize(("cloud", "name"), CHANGES)
def test_a_rule_accepts_a_compliant_pool_and_reports_a_violation(cloud: Cloud, name: str) -> None:
    rule = ALL[cloud, name]
    kept, breaks = CHANGES[cloud, name]
    assert broken(rule, COMPLIANT) == broken(rule, replace(COMPLIANT, **kept)) == []
    (problem,) = broken(rule, replace(COMPLIANT, **breaks))
    setting, colon, why = problem.partition(": ")
    assert setting
    assert colon
    assert "must " in why


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "10.0.0.1", "[::1]", "tokend", "tokend.local", "a.svc.cluster.local.", "x.test"]
)
def test_a_host_unreachable_from_the_internet_violates_the_rules_of_every_cloud(host: str) -> None:
    for cloud in Cloud:
        assert broken(ALL[cloud, "public host"], replace(COMPLIANT, issuer=f"https://{host}"))


def test_the_limits_for_aws_equal_those_of_the_aws_model() -> None:
    session = botocore.session.get_session()
    sts, iam = session.get_service_model("sts"), session.get_service_model("iam")
    most = {
        "issuer": iam.shape_for("OpenIDConnectProviderUrlType"),
        "aud": iam.shape_for("clientIDType"),
        "sub": sts.shape_for("webIdentitySubjectType"),
        "size": sts.shape_for("clientTokenType"),
    }
    for name, shape in most.items():
        assert f"{shape.metadata['max']} characters at most" in ALL[Cloud.AWS_STS, name].text
    signed = sts.shape_for("AssumeRoleWithWebIdentityRequest").members["WebIdentityToken"].documentation
    for algorithm in ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512"):
        assert algorithm in signed
        assert not broken(ALL[Cloud.AWS_STS, "algorithm"], replace(COMPLIANT, algorithm=algorithm))


def configured(**settings: Any) -> Config:  # noqa: ANN401 - as a file would have them
    pool = {"developer_provider_name": "login.example", "signing_algorithm": "RS256"}
    defaults = {"issuer": Issuer(url="https://tokens.example.com"), "pools": {POOL_ID: pool}}
    return Config.model_validate({**defaults, **settings})


def test_all_problems_are_reported_with_setting_cloud_and_source() -> None:
    pools = {POOL_ID: Pool(developer_provider_name="a"), "local:0a": Pool(developer_provider_name="a")}
    config = configured(issuer=Issuer(), pools=pools)
    problems = federation_problems(config, [Cloud.AWS_STS, Cloud.ENTRA])
    entra = [problem for problem in problems if "(entra: https://learn.microsoft.com/" in problem]
    assert [problem.partition(":")[0] for problem in entra] == [
        "issuer.url",
        "issuer.url",
        'pools."eu-west-1',
        'pools."local',
    ]
    assert f'pools."{POOL_ID}".signing_algorithm: must be RS256, and is RS512' in entra[2]
    assert [problem.partition(":")[0] for problem in problems if "(aws-sts: " in problem] == ["issuer.url"] * 3
    assert len(problems) == 7


def test_a_compliant_configuration_has_no_problems_and_all_rules_are_listed() -> None:
    clouds = [*Cloud]
    assert federation_problems(configured(), clouds) == []
    lines = list(checked_federation_rules(clouds))
    assert len(lines) == len(ALL)
    for (cloud, _), rule in ALL.items():
        word = "checked" if rule.check else "not checked"
        assert f"{cloud}: {word}: {rule.text} ({rule.source})" in lines


def test_pools_in_cognito_are_not_checked() -> None:
    cognito = Pool(engine="cognito", developer_provider_name="a")
    both = configured(pools={POOL_ID: cognito, "eu-west-1:0a": Pool(developer_provider_name="a")})
    assert [pool.identity_pool_id for pool in federated_pools(both)] == ["eu-west-1:0a"]
    (problem,) = federation_problems(configured(pools={POOL_ID: cognito}), [Cloud.ENTRA])
    assert problem.startswith("pools: none is local")
    assert federation_problems(configured(pools={POOL_ID: cognito}), []) == []


def test_the_longest_token_of_a_pool_follows_from_its_policy_rows() -> None:
    row = {"callers": ["a"], "operations": ["*"]}
    policy = {
        "short": {**row, "pools": [POOL_ID], "max_token_duration_seconds": 600},
        "all": {**row, "pools": ["*"], "max_token_duration_seconds": 700},
        "other": {**row, "pools": ["local:0a"], "max_token_duration_seconds": 800},
    }
    pool = {"developer_provider_name": "login.example"}
    grpc = {"identify_by": ["bearer_key"]}
    callers = {"keys": {"a": ["sha256:" + "0" * 64]}}
    config = configured(policy=policy, grpc=grpc, callers=callers, pools={POOL_ID: pool, "local:0a": pool})
    assert [each.longest_token for each in federated_pools(config)] == [700, 800]
    assert [each.longest_token for each in federated_pools(configured())] == [86_400]


@pytest.mark.parametrize(("rotate_every", "of_each"), [("30d", 2), ("1d", 3), ("off", 1)])
def test_the_key_set_has_keys_for_each_algorithm_of_a_local_pool(rotate_every: str, of_each: int) -> None:
    pools = {
        f"local:0{number}": {"developer_provider_name": "a", "signing_algorithm": algorithm}
        for number, algorithm in enumerate(["RS256", "RS512", "RS512", "ES256"])
    }
    config = configured(keys={"rotate_every": rotate_every}, pools=pools)
    assert next(federated_pools(config)).max_keys == {"RSA": 2 * of_each, "EC": of_each}


def test_principal_tags_of_sds_tokens_are_checked() -> None:
    token = {"user": "web", "principal_tags": {"k": "a|b"}}
    sds = {"listen": ["127.0.0.1:0"], "tokens": {"web": {"identity_pool_id": POOL_ID, **token}}}
    (problem,) = federation_problems(configured(sds=sds), [Cloud.AWS_STS])
    assert problem.startswith("sds.tokens.web.principal_tags: must have letters")
    assert "k" in problem
    assert "a|b" not in problem
