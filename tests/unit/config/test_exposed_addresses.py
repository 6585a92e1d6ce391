"""The requirements of addresses that other machines can reach."""

from pathlib import Path

import pytest
from tests.unit.config.conftest import Load, Problems
from tests.unit.config.file_parts import EVERYBODY, KEYS, POOL, grpc_with


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1:50051", ""),
        ("127.9.9.9:1", ""),
        ("[::1]:1", ""),
        ("localhost:1", ""),
        ("unix:/run/tokend.sock", ""),
        ("0.0.0.0:50051", "others can reach 0.0.0.0:50051"),
        ("[::]:50051", "others can reach [::]:50051"),
        ("10.0.0.1:50051", "others can reach 10.0.0.1:50051"),
        ("tokend.example:50051", "others can reach tokend.example:50051"),
    ],
)
def test_exposed_addresses_need_protection_or_an_explicit_setting(
    address: str, reason: str, load: Load, problems: Problems, tls_files: dict[str, Path]
) -> None:
    listen = f'listen = ["{address}"]\n'
    plain = f"{POOL}[grpc]\n{listen}"
    assert load(f"{plain}insecure = true").grpc.insecure
    guarded = grpc_with(tls_files["certificate"], tls_files["key"], f'{listen}identify_by = ["bearer_key"]')
    assert load(f"{guarded}\n{KEYS}{EVERYBODY}").grpc.listen == [address]
    if reason:
        assert problems(plain) == [exposed(reason, TLS, AUTHENTICATOR, POLICY)]
    else:
        assert load(plain).grpc.listen == [address]


TLS = "TLS (tls_certificate_file, tls_private_key_file)"
AUTHENTICATOR = "an authenticator (identify_by)"
POLICY = "a policy ([policy.NAME])"


def exposed(reason: str, *missing: str) -> str:
    how = "listen on a loopback address or a unix socket, or write insecure = true"
    return f"grpc: {reason}: configure {', '.join(missing)}, {how}"


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({TLS, POLICY}, [AUTHENTICATOR]),
        ({AUTHENTICATOR, POLICY}, [TLS]),
        ({TLS}, [AUTHENTICATOR, POLICY]),
        ({POLICY}, [TLS, AUTHENTICATOR]),
    ],
)
def test_missing_protection_of_an_address_is_named(
    given: set[str], missing: list[str], problems: Problems, tls_files: dict[str, Path]
) -> None:
    grpc = grpc_with(tls_files["certificate"], tls_files["key"]) if TLS in given else f"{POOL}[grpc]\n"
    way = 'identify_by = ["bearer_key"]\n' if AUTHENTICATOR in given else ""
    policy = EVERYBODY if POLICY in given else ""
    found = problems(f'{grpc}listen = ["10.0.0.1:1"]\n{way}{KEYS}{policy}')
    assert found == [exposed("others can reach 10.0.0.1:1", *missing)]


def test_each_exposed_address_is_named(problems: Problems) -> None:
    found = problems(f'{POOL}[grpc]\nlisten = ["127.0.0.1:1", "10.0.0.1:2", "10.0.0.2:3"]')
    assert found == [
        exposed(f"others can reach {each}", TLS, AUTHENTICATOR, POLICY) for each in ("10.0.0.1:2", "10.0.0.2:3")
    ]


def test_an_exposed_address_may_be_guarded_by_settings_of_its_own(
    load: Load, problems: Problems, tls_files: dict[str, Path]
) -> None:
    settings = f"""
tls_certificate_file = "{tls_files["certificate"]}"
tls_private_key_file = "{tls_files["key"]}"
identify_by = ["bearer_key"]
{KEYS}{EVERYBODY}"""
    listen = f'{POOL}[grpc]\nlisten = ["10.0.0.1:1", "127.0.0.1:2"]\n'
    guarded = load(f'{listen}[grpc.listeners."10.0.0.1:1"]{settings}').grpc.all_listeners
    assert [(each.address, each.identify_by, each.tls_files is not None) for each in guarded] == [
        ("10.0.0.1:1", ["bearer_key"], True),
        ("127.0.0.1:2", [], False),
    ]
    found = problems(f'{listen}[grpc.listeners."127.0.0.1:2"]{settings}')
    assert found == [exposed("others can reach 10.0.0.1:1", TLS, AUTHENTICATOR)]
