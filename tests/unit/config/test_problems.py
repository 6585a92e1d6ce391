import pytest
from tests.unit.config.conftest import Load, Problems
from tests.unit.config.file_parts import EVERYBODY, POOL, POOL_ID

#: Unicode digits that AWS does not accept.
WIDE_DIGITS = "\uff11" * 12


def test_all_problems_are_reported_at_once(problems: Problems, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEND_GRPC_THREAD", "3")
    found = problems(
        """
typo = 1
[grpc]
threads = "many"
max_metadata_bytes = 1
colour = "red"
[issuer]
url = "http://tokens.example"
[ops]
listen = "9090"
[store]
url = "mysql://db"
[log]
level = "loud"
[pools.nowhere]
signing_algorithm = "HS256"
"""
    )
    assert sorted(problem.partition(": ")[0] for problem in found) == [
        "TOKEND_GRPC_THREAD",
        "grpc.colour",
        "grpc.max_metadata_bytes",
        "grpc.threads",
        "issuer.url",
        "log.level",
        "ops.listen",
        "pools.nowhere.[key]",
        "pools.nowhere.developer_provider_name",
        "pools.nowhere.signing_algorithm",
        "store.url",
        "typo",
    ]
    assert all(problem.partition(": ")[2] for problem in found)


#: Invalid settings, and the prefixes of the problems between other settings.
INVALID_SETTINGS = {
    "[log]\nlevel = 'loud'": ["grpc: others can reach", "ops.listen: 127.0.0.1:8080", "policy.a.pools: no such"],
    "[callers]\njwt = 1": ["grpc: others can reach", "ops.listen: 127.0.0.1:8080", "policy.a.pools: no such"],
    "[store]\nurl = 'x'": ["grpc: others can reach", "ops.listen: 127.0.0.1:8080", "policy.a.pools: no such"],
    "[aws]\nlisten = 'x'": ["grpc: others can reach", "policy.a.pools: no such"],
    "[issuer]\nlisten = 'x'": ["grpc: others can reach", "policy.a.pools: no such"],
    "colour = 1": [],
}


@pytest.mark.parametrize(("wrong", "others"), INVALID_SETTINGS.items())
def test_problems_of_several_sections_are_reported_together(
    wrong: str, others: list[str], problems: Problems, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEND_OPS_LISTEN", "127.0.0.1:8080")
    policy = '[policy.a]\ncallers = ["*"]\npools = ["us-east-1:0b"]\noperations = ["*"]\n'
    listen = '[ops]\nlisten = "127.0.0.1:1"\n[grpc]\nlisten = ["0.0.0.0:50051"]\n'
    first, *rest = problems(f"{wrong}\n{listen}{policy}{POOL}")
    assert first.startswith(wrong[:3].strip("["))
    assert len(rest) == len(others)
    assert all(problem.startswith(begin) for problem, begin in zip(sorted(rest), others, strict=True))


#: Sections that need each other.
RELATED_SECTIONS = {
    "grpc": 'listen = ["127.0.0.1:1"]\nidentify_by = ["bearer_key"]',
    "callers": (
        f'aws_key_file = "/nowhere"\nkeys = {{ a = ["sha256:{"0" * 64}"] }}\n'
        'aws_keys = { a = ["TKNDAAAAAAAAAAAAAAAA"] }'
    ),
    "policy": 'a = { callers = ["key:a"], pools = ["us-east-1:0a"], operations = ["*"] }',
    "sds": (
        'listen = ["127.0.0.1:2"]\nidentify_by = ["bearer_key"]\nkey_set = "keys"\n'
        'tokens.a = { identity_pool_id = "us-east-1:0a" }'
    ),
    "ext_authz": 'mappings.a = { identity_pool_id = "us-east-1:0a", user = { header = "x-user", trusted = true } }',
    "aws": 'listen = "127.0.0.1:3"\nmanage_pools = true\ncredentials = { source = "sts" }',
    "issuer": 'listen = "127.0.0.1:4"\nurl = "https://tokens.example"',
    "ops": 'listen = "127.0.0.1:5"',
    "store": 'url = "sqlite:////nowhere/tokend.db"',
    "audit": 'destination = "file:/nowhere/audit.log"',
    "pools": '"us-east-1:0a" = { developer_provider_name = "login.example" }',
}


@pytest.mark.parametrize("wrong", RELATED_SECTIONS)
def test_problems_that_follow_from_an_invalid_section_are_not_reported(
    wrong: str, load: Load, problems: Problems
) -> None:
    text = {name: f"[{name}]\n{content}\n" for name, content in RELATED_SECTIONS.items()}
    assert list(load("".join(text.values())).pools) == ["us-east-1:0a"]
    (problem,) = problems(f"{wrong} = 1\n" + "".join(part for name, part in text.items() if name != wrong))
    assert problem.startswith(f"{wrong}: must be a table")


PROVIDERS = 'open_id_connect_providers = { "a b" = {}, "c d" = {} }\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            (
                f'{POOL}[keys]\nsigner = "aws-kms"\npublish_before = "361s"\n'
                'encryption = { method = "aws-kms", kms_key_id = "alias/a" }'
            ),
            [
                "keys: kms.region must name the region in which",
                "keys: kms.region must name the region of",
                "keys: publish_before (361 s) must not",
            ],
        ),
        (
            f'{POOL}{PROVIDERS.replace("{}", """{ client_ids = ["a"] }""")}',
            [f"pools.{POOL_ID}: open_id_connect_providers: https:// + name {number} " for number in (1, 2)],
        ),
        (
            (
                f"{POOL}open_id_connect_providers = {{ 'a b' = {{ client_ids = ['a'] }}, 'login.example' = "
                "{ client_ids = ['a'] } }"
            ),
            [
                f"pools.{POOL_ID}: open_id_connect_providers: https:// + name 1 ",
                f"pools.{POOL_ID}: developer_provider_name must not be one of",
            ],
        ),
        (
            f'{POOL}[aws]\nlisten = "0.0.0.0:1"\n{PROVIDERS}',
            [
                "aws: open_id_connect_providers: https:// + name 1 ",
                "aws: open_id_connect_providers: https:// + name 2 ",
                "aws: listen: others can reach",
            ],
        ),
        (
            (
                f"{POOL}[ext_authz.mappings.a]\nidentity_pool_id = '{POOL_ID}'\nuser = {{ header = 'authorization', "
                "trusted = true }\nprincipal_tags = { t = { header = 'authorization', trusted = true } }"
            ),
            ["ext_authz.mappings.a: user: header must", "ext_authz.mappings.a: principal_tags.t: header must"],
        ),
    ],
)
def test_all_problems_of_a_table_are_reported_at_once(text: str, expected: list[str], problems: Problems) -> None:
    found = problems(text)
    assert len(found) == len(expected)
    assert all(problem.startswith(begin) for problem, begin in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "pools: declare at least one pool"),
        ("pools = {}", "pools: must not be empty"),
        (f"grpc.listen = []\n{POOL}", "grpc.listen: must not be empty"),
        (f"data_dir = 1\n{POOL}", "data_dir: must be a path"),
        (f"keys.encryption.previous_key_files = [1]\n{POOL}", "keys.encryption.previous_key_files.0: must be a path"),
        ("[grpc\nthreads = 1", "(at line 1"),
        (f"{POOL}[server]\nport = 1", "server: there is no such setting"),
        (f"{POOL}[Grpc]\nthreads = 1", "Grpc: there is no such setting"),
        (f"{EVERYBODY}[POLICY.x]\n{POOL}", "POLICY: there is no such setting"),
        (f'Data_Dir = "/srv"\n{POOL}', "Data_Dir: there is no such setting"),
        (f'[pools."{"a" * 19}:0a"]\ndeveloper_provider_name = "d"', f"pools.{'a' * 19}:0a.[key]: "),
        (f'[pools."{"a" * 18}:{"0" * 37}"]\ndeveloper_provider_name = "d"', f"pools.{'a' * 18}:{'0' * 37}.[key]: "),
        (f'{POOL}colour = "red"', f"pools.{POOL_ID}.colour: there is no such setting"),
        (f'{POOL}engine = "other"', f"pools.{POOL_ID}.engine: "),
        (f'{POOL}account_id = "123"', f"pools.{POOL_ID}.account_id: "),
        (f'{POOL}account_id = "{WIDE_DIGITS}"', f"pools.{POOL_ID}.account_id: "),
        (f'{POOL}name = "Büro"', f"pools.{POOL_ID}.name: "),
        (f'{POOL}name = "a\u00a0b"', f"pools.{POOL_ID}.name: "),
        (f'{POOL}roles.authenticated = "arn:aws:iam::123456789012:role/bücher"', ".roles.authenticated: "),
        (f'{POOL}roles.authenticated = "arn:aws:iam::{WIDE_DIGITS}:role/users"', ".roles.authenticated: "),
        (f'{POOL}[aws]\naccount_id = "{WIDE_DIGITS}"', "aws.account_id: "),
        (f'{POOL}[aws]\ncredentials.region = "eu-west-{WIDE_DIGITS[0]}"', "aws.credentials.region: "),
        (f'[pools."{POOL_ID}"]\ndeveloper_provider_name = "a:b"', "developer_provider_name: "),
        (
            f'{POOL}open_id_connect_providers."login.example" = {{ client_ids = ["a"] }}',
            f"pools.{POOL_ID}: developer_provider_name must not be one of open_id_connect_providers",
        ),
        (f'{POOL}open_id_connect_providers."x" = {{ client_ids = [] }}', "x.client_ids: "),
        (f'{POOL}open_id_connect_providers."a b" = {{ client_ids = ["a"] }}', "https:// + name 1 must be a URL"),
        (
            f'{POOL}open_id_connect_providers."h:99999" = {{ client_ids = ["a"] }}',
            "https:// + name 1 must be a URL",
        ),
        (f"{POOL}[grpc]\nmax_receive_message_bytes = 3000000000", "grpc.max_receive_message_bytes: "),
        (f"{POOL}[grpc]\nmax_connection_age_seconds = 3000000", "grpc.max_connection_age_seconds: "),
        (f"{POOL}[grpc]\ndrain_delay_seconds = inf", "grpc.drain_delay_seconds: "),
        (f"{POOL}[grpc]\nlisten = []", "grpc.listen: "),
        (f'{POOL}[grpc]\nlisten = ["unix:"]', "grpc.listen.0: must name the socket"),
        (f'{POOL}[grpc]\nlisten = ["127.0.0.1:1", "127.0.0.1"]', "grpc.listen.1: must be HOST:PORT"),
        (f"{POOL}[grpc]\nthreads = 0", "grpc.threads: "),
        (f"{POOL}[grpc]\nthreads = true", "grpc.threads: must be a number, not true or false"),
        (f"{POOL}[grpc]\ndrain_delay_seconds = true", "grpc.drain_delay_seconds: must be a number"),
        (f"{POOL}[grpc]\nmax_concurrent_streams = true", "grpc.max_concurrent_streams: must be a number"),
        (
            f'{POOL}[sds.tokens.a]\nidentity_pool_id = "{POOL_ID}"\nuser = "a"\ntoken_duration_seconds = true',
            "sds.tokens.a.token_duration_seconds: must be a number",
        ),
        (f"{POOL}[cognito]\nserve_stale = true", "cognito: serve_stale needs reuse_tokens = true"),
        (f'{POOL}[cognito]\nendpoint_url = "http://cognito.example"', "cognito.endpoint_url: must be https"),
        (f'{POOL}[cognito]\nrole_arn = "arn:aws:iam::1:role/x"', "cognito.role_arn: "),
        (f'{POOL}[keys]\nsigner = "aws-kms"', "keys: kms.region must name the region in which keys are created"),
        (f'{POOL}[keys]\nsigner = "hsm"', "keys.signer: "),
        (f'{POOL}[keys.kms]\nregion = "Ireland"', "keys.kms.region: "),
        (f"{POOL}[keys.kms]\ndeletion_window_days = 6", "keys.kms.deletion_window_days: "),
        (f"{POOL}[keys.kms]\nregions = 1", "keys.kms.regions: there is no such setting; did you mean keys.kms.region?"),
        (f"{POOL}[cognito]\nmax_attempts = 0", "cognito.max_attempts: "),
        (f"{POOL}[cognito]\ntimeout_seconds = 0", "cognito.timeout_seconds: "),
        ('[pools."local:0a"]\nengine = "cognito"\ndeveloper_provider_name = "d"', "AWS region, unlike local:0a"),
        (f'{POOL}[store]\nurl = "sqlite://"', "store.url: must be sqlite:///PATH"),
        (f'{POOL}[store]\nurl = "sqlite:///:memory:"', "store.url: must be sqlite:///PATH"),
        (
            f'{POOL}[issuer]\nlisten = "0.0.0.0:8080"',
            "issuer: url must be the URL at which verifiers reach the listener",
        ),
    ],
)
def test_an_invalid_setting_is_reported(problems: Problems, text: str, expected: str) -> None:
    (problem,) = problems(text)
    assert expected in problem


def test_problems_of_related_settings_are_reported_together(problems: Problems) -> None:
    found = problems(
        f'{POOL}[grpc]\nlisten = ["10.0.0.1:1"]\nidentify_by = ["jwt", "bearer_key"]\n'
        f'[policy.a]\ncallers = ["**"]\noperations = ["*"]\npools = ["us-east-1:ff"]'
    )
    assert [problem.partition(": ")[0] for problem in found] == [
        "grpc.identify_by",
        "grpc.identify_by",
        "grpc",
        "policy.a.pools",
    ]
