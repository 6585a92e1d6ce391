"""gRPC listeners: their authentication of callers, and its requirements."""

from pathlib import Path

import pytest
from tests.unit.config.conftest import Load, Problems
from tests.unit.config.file_parts import EVERYBODY, KEYS, POOL, grpc_with


@pytest.mark.parametrize(
    ("settings", "streams"),
    [("", 32), ("threads = 1", 32), ("threads = 64", 128), ("threads = 64\nmax_concurrent_streams = 5", 5)],
)
def test_the_default_stream_limit_exceeds_the_number_of_threads(load: Load, settings: str, streams: int) -> None:
    assert load(f"{POOL}[grpc]\n{settings}").grpc.concurrent_streams == streams


def test_an_address_may_override_the_common_authenticators(load: Load, problems: Problems) -> None:
    text = f"""{POOL}[grpc]
listen = ["127.0.0.1:1", "unix:/run/s"]
identify_by = ["bearer_key"]
trusted_proxies = ["dns:a"]
[grpc.listeners."unix:/run/s"]
identify_by = []
{KEYS}"""
    first, second = load(f"{text}{EVERYBODY}").grpc.all_listeners
    assert (first.identify_by, second.identify_by) == (["bearer_key"], [])
    assert first.trusted_proxies == second.trusted_proxies == ["dns:a"]
    assert first.is_local
    assert second.is_local
    assert problems(text + EVERYBODY.replace("**", "key:*")) == [
        'policy: every call to unix:/run/s would be refused: set identify_by there, or name "anonymous" in a row'
    ]


#: Contradictory settings of a listener: the rest of [grpc], with the names of TLS files, and the problems.
CONTRADICTIONS: dict[str, tuple[str, list[str]]] = {
    "certificates without an authority": (
        '{tls}identify_by = ["mutual_tls"]',
        ["mutual_tls needs tls_client_ca_file"],
    ),
    "certificates on a unix socket": (
        'listen = ["unix:/run/s"]\nidentify_by = ["mutual_tls"]',
        ["mutual_tls is not for unix sockets"],
    ),
    "certificates on a unix socket among others": (
        'listen = ["127.0.0.1:1", "unix:/run/s"]\n{tls}{ca}identify_by = ["mutual_tls"]',
        ["mutual_tls is not for unix sockets"],
    ),
    "an authority without TLS": (
        "{ca}",
        ["tls_client_ca_file needs tls_certificate_file and tls_private_key_file"],
    ),
    "a header of anybody's": (
        '{tls}identify_by = ["x_forwarded_client_cert"]',
        ["x_forwarded_client_cert needs tls_client_ca_file and trusted_proxies, or a unix socket"],
    ),
    "a header of any client's": (
        '{tls}{ca}identify_by = ["x_forwarded_client_cert"]',
        ["x_forwarded_client_cert needs tls_client_ca_file and trusted_proxies, or a unix socket"],
    ),
    "a header of a proxy's that proves nothing": (
        'identify_by = ["x_forwarded_client_cert"]\ntrusted_proxies = ["dns:proxy"]',
        ["x_forwarded_client_cert needs tls_client_ca_file and trusted_proxies, or a unix socket"],
    ),
    "a proxy that is taken for the caller": (
        '{tls}{ca}identify_by = ["mutual_tls", "x_forwarded_client_cert"]\ntrusted_proxies = ["dns:proxy"]',
        ["x_forwarded_client_cert must come before mutual_tls, which would identify the proxy as the caller"],
    ),
    "several at once": (
        """listen = ["127.0.0.1:1", "unix:/run/s", "127.0.0.1:2"]
{ca}identify_by = ["mutual_tls", "x_forwarded_client_cert"]
[grpc.listeners."127.0.0.1:3"]""",
        [
            "listeners: 127.0.0.1:3 is not in listen",
            "tls_client_ca_file needs tls_certificate_file and tls_private_key_file",
            "x_forwarded_client_cert must come before mutual_tls, which would identify the proxy as the caller",
            "x_forwarded_client_cert needs tls_client_ca_file and trusted_proxies, or a unix socket",
            "mutual_tls is not for unix sockets",
        ],
    ),
    "one address's own": (
        'listen = ["127.0.0.1:1", "127.0.0.1:2"]\n[grpc.listeners."127.0.0.1:2"]\nidentify_by = ["mutual_tls"]',
        ["listeners.127.0.0.1:2: mutual_tls needs tls_client_ca_file"],
    ),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_contradictory_listener_settings_are_refused(case: str, problems: Problems, tls_files: dict[str, Path]) -> None:
    text, expected = CONTRADICTIONS[case]
    tls = f'tls_certificate_file = "{tls_files["certificate"]}"\ntls_private_key_file = "{tls_files["key"]}"\n'
    ca = f'tls_client_ca_file = "{tls_files["other_certificate"]}"\n'
    found = problems(f"{POOL}[grpc]\n{text.format(tls=tls, ca=ca)}\n{EVERYBODY}")
    assert found == [f"grpc: {each}" for each in expected]


@pytest.mark.parametrize(
    "text",
    [
        'listen = ["unix:/run/s"]\nidentify_by = ["x_forwarded_client_cert"]',
        '{tls}{ca}identify_by = ["x_forwarded_client_cert", "mutual_tls"]\ntrusted_proxies = ["dns:proxy"]',
        '{tls}{ca}identify_by = ["mutual_tls", "bearer_key"]',
        """listen = ["127.0.0.1:1", "unix:/run/s"]
{tls}{ca}identify_by = ["mutual_tls"]
[grpc.listeners."unix:/run/s"]
identify_by = ["bearer_key"]""",
    ],
)
def test_suitable_authenticators_of_a_listener_are_accepted(text: str, load: Load, tls_files: dict[str, Path]) -> None:
    tls = f'tls_certificate_file = "{tls_files["certificate"]}"\ntls_private_key_file = "{tls_files["key"]}"\n'
    ca = f'tls_client_ca_file = "{tls_files["other_certificate"]}"\n'
    assert load(f"{POOL}[grpc]\n{text.format(tls=tls, ca=ca)}\n{KEYS}{EVERYBODY}").grpc.all_listeners


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('identify_by = ["jwt"]', ["grpc.identify_by: jwt needs an issuer, as [callers.jwt.NAME]"]),
        ('identify_by = ["bearer_key"]', ["grpc.identify_by: bearer_key needs a key in [callers.keys]"]),
        (
            """listen = ["127.0.0.1:1", "unix:/run/s"]
identify_by = ["jwt"]
[grpc.listeners."unix:/run/s"]
identify_by = ["bearer_key"]""",
            [
                "grpc.identify_by: jwt needs an issuer, as [callers.jwt.NAME]",
                "grpc.identify_by: bearer_key needs a key in [callers.keys]",
            ],
        ),
    ],
)
def test_an_authenticator_requires_its_settings(text: str, expected: list[str], problems: Problems) -> None:
    assert problems(f"{POOL}[grpc]\n{text}\n{EVERYBODY}") == expected


@pytest.mark.parametrize(
    ("certificate", "key"),
    [
        ("absent", "key"),
        ("certificate", "absent"),
        ("key", "certificate"),
        ("certificate", "other_key"),
        ("other_certificate", "key"),
    ],
)
def test_unusable_tls_files_are_reported(
    certificate: str, key: str, tls_files: dict[str, Path], problems: Problems
) -> None:
    files = {"absent": Path("/absent.pem"), **tls_files}
    for found in (
        problems(grpc_with(files[certificate], files[key])),
        problems(f'{grpc_with(files[certificate], files[key])}listen = ["127.0.0.1:1", "127.0.0.1:2"]'),
    ):
        (problem,) = found
        assert problem.startswith("grpc: the TLS files cannot be used: /")


def test_an_invalid_client_ca_file_is_reported(tls_files: dict[str, Path], problems: Problems) -> None:
    ca = f'tls_client_ca_file = "{tls_files["key"]}"'
    (problem,) = problems(grpc_with(tls_files["certificate"], tls_files["key"], ca))
    assert problem == f"grpc: the TLS files cannot be used: {tls_files['key']}: no PEM certificates"


@pytest.mark.parametrize("given", ["certificate", "private_key"])
def test_one_tls_file_needs_the_other(given: str, problems: Problems) -> None:
    (problem,) = problems(f'{POOL}[grpc]\ntls_{given}_file = "/x.pem"')
    assert problem == "grpc: tls_certificate_file and tls_private_key_file must be given together"
