"""Callers, the policy and limits."""

import pytest
from tests.unit.config.conftest import Load, Problems
from tests.unit.config.file_parts import EVERYBODY, EVERYTHING, ISSUER, KEYS, POOL, POOL_ID


def test_identified_callers_need_a_policy_even_where_insecure(load: Load, problems: Problems) -> None:
    text = f'{POOL}[grpc]\ninsecure = true\nidentify_by = ["bearer_key", "jwt"]\n{KEYS}{ISSUER}'
    assert problems(text) == ["policy: identified callers need a policy; declare at least one row, as [policy.NAME]"]
    assert load(f"{text}{EVERYBODY}").policy


@pytest.mark.parametrize("patterns", ['["anonymous"]', '["key:a", "**"]', '["*"]'])
def test_a_policy_for_anonymous_callers_is_accepted_without_authenticators(patterns: str, load: Load) -> None:
    assert load(f"{POOL}[policy.a]\ncallers = {patterns}\n{EVERYTHING}").policy


def test_a_policy_without_anonymous_requires_authenticators(problems: Problems) -> None:
    rows = "".join(f'[policy.{name}]\ncallers = ["{name}:*"]\n{EVERYTHING}' for name in ("key", "dns"))
    assert problems(f'{POOL}{rows}[grpc]\nlisten = ["127.0.0.1:1", "unix:/run/s"]') == [
        f'policy: every call to {each} would be refused: set identify_by there, or name "anonymous" in a row'
        for each in ("127.0.0.1:1", "unix:/run/s")
    ]


def test_unknown_pools_in_policy_rows_are_reported(problems: Problems) -> None:
    row = 'callers = ["**"]\noperations = ["*"]\n'
    assert problems(
        f'{POOL}[policy.a]\n{row}pools = ["{POOL_ID}", "us-east-1:ff", "us-east-1:0b"]\n'
        f'[policy.b]\n{row}pools = ["*"]\n[policy.c]\n{row}pools = ["us-east-1:ff"]'
    ) == [
        "policy.a.pools: no such pool: us-east-1:0b, us-east-1:ff",
        "policy.c.pools: no such pool: us-east-1:ff",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[grpc]\nidentify_by = ["tls"]', "grpc.identify_by.0: "),
        ('[grpc]\ntrusted_proxies = [""]', "grpc.trusted_proxies.0: a pattern of callers must not be empty"),
        ('[grpc]\nhealth = "no one"', "grpc.health: "),
        ("[grpc]\nmessage_timeout_seconds = 0", "grpc.message_timeout_seconds: "),
        ("[grpc]\nmax_connections = 0", "grpc.max_connections: "),
        ("[grpc]\nmax_connections = 2147483647", "grpc.max_connections: "),
        ('[grpc.listeners."127.0.0.1"]', "grpc.listeners.127.0.0.1.[key]: must be HOST:PORT"),
        ('[grpc.listeners."127.0.0.1:50051"]\ninsecure = true', "grpc.listeners.127.0.0.1:50051.insecure: "),
        ('[callers.keys]\n"a b" = ["x"]', "callers.keys.a b.[key]: "),
        ("[callers.keys]\na = []", "callers.keys.a: "),
        ('[callers.jwt.a]\naudiences = ["t"]\nalgorithms = ["RS256"]', "callers.jwt.a.issuer: "),
        ('[callers.jwt.a]\nissuer = "https://i"\nalgorithms = ["RS256"]', "callers.jwt.a.audiences: Field required"),
        (ISSUER.replace('["tokend"]', "[]"), "callers.jwt.cluster.audiences: "),
        (ISSUER.replace('["tokend"]', '[""]'), "callers.jwt.cluster.audiences.0: "),
        (ISSUER.replace('["RS256"]', "[]"), "callers.jwt.cluster.algorithms: "),
        (ISSUER.replace("RS256", "HS256"), "callers.jwt.cluster.algorithms.0: "),
        (ISSUER.replace("RS256", "none"), "callers.jwt.cluster.algorithms.0: "),
        (ISSUER.replace("https://", "http://"), "callers.jwt.cluster.issuer: must be https"),
        (f'{ISSUER}jwks_url = "http://i.example/keys"', "callers.jwt.cluster.jwks_url: must be https"),
        ("[callers]\nmax_token_bytes = 1023", "callers.max_token_bytes: "),
        ("[callers]\nmax_token_bytes = 1048577", "callers.max_token_bytes: "),
        (f"{ISSUER}clock_skew_seconds = -1", "callers.jwt.cluster.clock_skew_seconds: "),
        (f"{ISSUER}clock_skew_seconds = 3601", "callers.jwt.cluster.clock_skew_seconds: "),
        (f"{ISSUER}clock_skew_seconds = nan", "callers.jwt.cluster.clock_skew_seconds: "),
        (
            EVERYBODY.replace("**", "jwt:cluster:build bot"),
            "policy.everybody.callers.0: a caller's name has no white space",
        ),
        (EVERYBODY.replace("**", "jwt:cluster:50%"), "policy.everybody.callers.0: in a caller's name, % begins"),
        (EVERYBODY.replace("everybody", '"every body"'), "policy.every body.[key]: "),
        (EVERYBODY.replace('["**"]', "[]"), "policy.everybody.callers: "),
        (
            EVERYBODY.replace('"**"', '"***"'),
            "policy.everybody.callers.0: a pattern of callers must not have more than two stars",
        ),
        ('[policy.a]\ncallers = ["**"]\npools = []\noperations = ["*"]', "policy.a.pools: "),
        ('[policy.a]\ncallers = ["**"]\npools = ["*"]\noperations = []', "policy.a.operations: "),
        ('[policy.a]\ncallers = ["**"]\npools = ["*"]\noperations = ["Delete"]', "policy.a.operations.0"),
        (f"{EVERYBODY}max_token_duration_seconds = 0", "policy.everybody.max_token_duration_seconds: "),
        (f"{EVERYBODY}max_token_duration_seconds = 86401", "policy.everybody.max_token_duration_seconds: "),
        ("[limits]\nconcurrent_calls = 0", "limits.concurrent_calls: "),
        ("[limits]\ncalls_per_second = -1", "limits.calls_per_second: "),
        ("[limits]\ncalls_per_second = inf", "limits.calls_per_second: "),
        ("[limits]\ncalls_burst = 0", "limits.calls_burst: "),
        ('[limits.callers."***"]\ncalls_burst = 1', "limits.callers.***.[key]: "),
        ('[limits.callers."key:*"]\nconcurrent_calls = 1', "limits.callers.key:*.concurrent_calls: "),
        ('[audit]\ndestination = "file:audit.log"', "audit.destination: must be none, stdout or file:/PATH"),
        ('[audit]\ndestination = "syslog"', "audit.destination: must be none, stdout or file:/PATH"),
    ],
)
def test_a_problem_with_callers_is_named(text: str, expected: str, problems: Problems) -> None:
    found = problems(f"{POOL}{text}")
    assert any(problem.startswith(expected) for problem in found), found


def test_rows_and_limits_keep_their_order(load: Load) -> None:
    names = ["zebra", "apple", "mango"]
    rows = "".join(f'[policy.{name}]\ncallers = ["**"]\n{EVERYTHING}' for name in names)
    limits = "".join(f'[limits.callers."key:{name}"]\ncalls_burst = 1\n' for name in names)
    config = load(f"{POOL}{rows}{limits}")
    assert list(config.policy) == names
    assert list(config.limits.callers) == [f"key:{name}" for name in names]
