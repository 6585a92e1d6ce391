"""Addresses to listen on: valid and invalid forms, and conflicts between addresses."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tokend_server.config import Config, host_and_port, is_local, load_config
from tokend_server.errors import ConfigError

POOL = '[pools."us-east-1:0a"]\ndeveloper_provider_name = "login.example"\n'

Check = Callable[[str], list[str]]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Returns the problems of a file with the given text; empty for a valid one."""

    def problems_of(text: str) -> list[str]:
        path = tmp_path / "tokend.toml"
        path.write_text(text, encoding="utf-8")
        try:
            load_config(path)
        except ConfigError as error:
            return error.problems
        return []

    return problems_of


LISTENERS = ("grpc", "issuer", "ops")


def listening(section: str, address: str) -> str:
    more = {"grpc": "insecure = true\n", "issuer": 'url = "https://tokens.example"\n'}.get(section, "")
    value = f"['{address}']" if section == "grpc" else f"'{address}'"
    return f"{POOL}[{section}]\nlisten = {value}\n{more}"


@pytest.mark.parametrize("section", LISTENERS)
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:0",
        "127.0.0.1:65535",
        "[::1]:0",
        "[0:0:0:0:0:0:0:1]:0",
        "localhost:7000",
        "LOCALHOST:7000",
        "0.0.0.0:7000",
        "[::]:7000",
        "[fe80::1%eth0]:7000",
        "tokend.example:7000",
        "tokend_1.example.:7000",
        "3com.example:7000",
    ],
)
def test_a_valid_address_is_accepted_on_every_listener(section: str, address: str, check: Check) -> None:
    assert check(listening(section, address)) == []


INVALID = {
    ":8080": "names no host: write [::]:8080",
    "*:8080": "[::] means all addresses",
    "127.0.0.1": "must be HOST:PORT",
    "8080": "must be HOST:PORT",
    "127.0.0.1:": "must be HOST:PORT",
    "127.0.0.1:65536": "must be HOST:PORT",
    "127.0.0.1:-1": "must be HOST:PORT",
    "127.0.0.1:http": "must be HOST:PORT",
    "http://127.0.0.1:80": "without a scheme",
    "::1:8080": "needs brackets",
    "::": "needs brackets",
    "[::1]": "must be HOST:PORT",
    "[::g]:80": "must be HOST:PORT",
    "[::ffff:127.0.0.1]:80": "not the IPv4-mapped IPv6 address",
    "127.1:80": "four numbers",
    "0:80": "four numbers",
    "256.0.0.1:80": "four numbers",
    "0x7f000001:80": "four numbers",
    "a b:80": "letters, digits, hyphens and dots",
    "a..b:80": "letters, digits, hyphens and dots",
    "-a:80": "letters, digits, hyphens and dots",
    f"{'a' * 64}:80": "letters, digits, hyphens and dots",
    "t\u00f6kend.example:80": "letters, digits, hyphens and dots",
    "user@host:80": "must be HOST:PORT",
}


@pytest.mark.parametrize("section", LISTENERS)
@pytest.mark.parametrize("address", INVALID)
def test_an_invalid_address_is_rejected_on_every_listener(section: str, address: str, check: Check) -> None:
    (problem,) = check(listening(section, address))
    assert problem.startswith(f"{section}.listen")
    assert INVALID[address] in problem


@pytest.mark.parametrize("section", ["issuer", "ops"])
@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("unix:/run/tokend.sock", "only grpc.listen takes unix sockets"),
        ("127.0.0.1:1,127.0.0.1:2", "and only one"),
    ],
)
def test_addresses_that_only_grpc_supports_are_rejected_on_other_listeners(
    section: str, address: str, expected: str, check: Check
) -> None:
    (problem,) = check(listening(section, address))
    assert expected in problem


def test_a_list_may_end_with_a_comma() -> None:
    grpc = {"listen": " 127.0.0.1:0, unix:/run/s , "}
    assert Config.model_validate({"grpc": grpc}).grpc.listen == ["127.0.0.1:0", "unix:/run/s"]


def of_grpc(*addresses: str) -> str:
    return f"{POOL}[grpc]\ninsecure = true\nlisten = [{', '.join(repr(each) for each in addresses)}]\n"


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("127.0.0.1:1", "[::1]:1"),
        ("127.0.0.1:1", "127.0.0.2:1"),
        ("127.0.0.1:1", "0.0.0.0:2"),
        ("a.example:1", "b.example:1"),
        ("unix:/run/a", "unix:/run/b"),
        ("[::]:0", "0.0.0.0:0"),
    ],
)
def test_addresses_without_conflicts_are_accepted(addresses: tuple[str, ...], check: Check) -> None:
    assert check(of_grpc(*addresses)) == []


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (("127.0.0.1:1", "127.0.0.1:1"), "127.0.0.1:1 is already that of grpc.listen"),
        (("unix:/run/a", "unix:///run/a"), "unix:/run/a is already that of grpc.listen"),
        (("0.0.0.0:1", "[::]:1"), "0.0.0.0:1 of grpc.listen: [::]:1 and 0.0.0.0:1 mean all addresses, IPv4 and"),
        (("127.0.0.1:1", "[::]:1"), "[::]:1 means all addresses"),
        (("0.0.0.0:1", "[::1]:1"), "0.0.0.0:1 means all addresses"),
        (
            ("unix:/run/a", "unix:/run/./a"),
            "conflicts with unix:/run/a of grpc.listen: both are the same socket",
        ),
        (("unix:/proc/self/cwd/a", "unix:a"), "both are the same socket"),
        (("localhost:1", "127.0.0.1:1"), "both are the same address"),
        (("[::1]:1", "localhost:1"), "both are the same address"),
        (("[::1]:1", "[0::1]:1"), "both are the same address"),
    ],
)
def test_conflicting_addresses_are_rejected(addresses: tuple[str, ...], expected: str, check: Check) -> None:
    (problem,) = check(of_grpc(*addresses))
    assert problem.startswith("grpc.listen: ")
    assert expected in problem


def test_conflicting_addresses_of_different_listeners_are_rejected(check: Check) -> None:
    taken = '[ops]\nlisten = "127.0.0.1:7000"\n[issuer]\nlisten = "localhost:7000"\n'
    beside_all = "conflicts with [::]:7000 of grpc.listen: [::]:7000 means all addresses, IPv4 and IPv6"
    beside_localhost = "conflicts with localhost:7000 of issuer.listen: both are the same address"
    assert check(of_grpc("[::]:7000") + taken) == [
        f"issuer.listen: localhost:7000 {beside_all}",
        f"ops.listen: 127.0.0.1:7000 {beside_all}",
        f"ops.listen: 127.0.0.1:7000 {beside_localhost}",
    ]


def test_an_unused_issuer_address_causes_no_conflict(check: Check) -> None:
    cognito = POOL + 'engine = "cognito"\n'
    assert check(cognito + '[ops]\nlisten = "127.0.0.1:7000"\n[issuer]\nlisten = "127.0.0.1:7000"\n') == []


def socket_of(length: int) -> str:
    return "/run/" + "s" * (length - len("/run/"))


def test_the_path_of_a_unix_socket_has_a_length_limit(check: Check) -> None:
    assert check(of_grpc(f"unix:{socket_of(107)}")) == []
    (problem,) = check(of_grpc(f"unix:{socket_of(108)}"))
    assert problem == "grpc.listen.0: has 108 bytes, but the path of a unix socket may have at most 107"
    (problem,) = check(of_grpc(f"unix:/run/{'ö' * 52}"))
    assert "has 109 bytes" in problem


def test_the_length_limit_of_a_socket_path_includes_the_home_directory(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", socket_of(100))
    assert check(of_grpc("unix:~/s")) == []
    (problem,) = check(of_grpc("unix:~/tokend.s"))
    assert "has 109 bytes" in problem


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("unix:", "must name the socket"),
        ("unix:///", "must name the socket"),
        ("unix://run/tokend.sock", "must be unix:PATH or unix:///PATH"),
        ("unix-abstract:tokend", "must not be an abstract socket"),
        ("unix:/run/a%20b", "percent-encoded"),
        ("unix:/run/a?b", "no query"),
        ("unix:$XDG_RUNTIME_DIR/tokend.sock", "variables are not expanded"),
        ("unix:~tokend-no-such-user/s", "home directory is not known"),
    ],
)
def test_an_invalid_unix_socket_address_is_rejected(address: str, expected: str, check: Check) -> None:
    (problem,) = check(of_grpc(address))
    assert problem.startswith("grpc.listen.0: ")
    assert expected in problem


def test_a_unix_socket_may_be_written_in_several_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/tokend")
    written = ["unix:/run/a", "unix:///run/b", "unix:~/c", "unix:d"]
    grpc = Config.model_validate({"grpc": {"listen": written, "listeners": {"unix:~/c": {}}}}).grpc
    assert grpc.listen == ["unix:/run/a", "unix:/run/b", "unix:/home/tokend/c", "unix:d"]
    assert [each.socket_path for each in grpc.all_listeners] == ["/run/a", "/run/b", "/home/tokend/c", "d"]
    assert list(grpc.listeners) == ["unix:/home/tokend/c"]


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), ("tokend.example:65535", ("tokend.example", 65535))],
)
def test_an_address_is_split(address: str, expected: tuple[str, int]) -> None:
    assert host_and_port(address) == expected


@pytest.mark.parametrize(
    "address",
    ["", ":80", "host", "host:", "host:x", "host:65536", "::1:80", "host:80/x", "a@host:80", "http://host:80"],
)
def test_an_invalid_host_and_port_is_rejected(address: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the texts are the standard library's and our own
        host_and_port(address)


def test_a_unix_socket_is_local() -> None:
    assert is_local("unix:/run/tokend.sock")
    assert not is_local("10.0.0.1:1")
