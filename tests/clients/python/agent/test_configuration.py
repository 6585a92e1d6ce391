"""The configuration: valid settings, and reports of all problems at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.clients.python.agent.settings import USER, document, token
from tests.support.certificates import write_certificate

from tokend_client.agent.configuration import Service
from tokend_client.agent.connection import ConnectionProblem, check_connection
from tokend_client.agent.loading import ConfigurationError, load
from tokend_client.testing import FakeTokendServer

Toml = Callable[[dict[str, Any]], Path]


def problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    return caught.value.problems


def test_all_problems_are_named_at_once(toml: Toml, server: FakeTokendServer, directory: Path) -> None:
    wrong = document(server, directory, mode="0777", layuot="projected", token_duration_seconds=0)
    wrong["tokens"] += [
        token(server, directory / "other", name="bad name"),
        token(server, Path("relative"), name="last"),
    ]
    wrong["tokens"][2] |= {"logins": {}, "owner": "no such user", "expired": "burn"}
    wrong["tokend"]["timeout_seconds"] = 0
    wrong["health"] = {"listen": "0.0.0.0:9466"}
    wrong["helth"] = {}
    found = problems(toml(wrong))
    begins = [
        "helth: unknown setting; did you mean health?",
        "tokend.timeout_seconds: ",
        "health: listen is an address that other machines may reach",
        "tokens.orders.mode: must be octal digits in quotes",
        "tokens.orders.layuot: unknown setting; did you mean layout?",
        "tokens.orders.token_duration_seconds: ",
        "tokens.bad name.name: must begin with a letter or digit",
        "tokens.last.file: must be an absolute path",
        "tokens.last.owner: must name a user of this machine",
        "tokens.last.expired: ",
    ]
    assert [begin for begin in begins if not any(each.startswith(begin) for each in found)] == []
    assert len(found) == len(begins), found


def test_missing_settings_are_reported_with_their_meaning(toml: Toml, server: FakeTokendServer) -> None:
    found = problems(toml({"tokens": [{"name": "orders", "logins": {server.developer_provider_name: USER}}]}))
    assert found == (
        "tokend.endpoint: is required (the address of tokend: HOST:PORT, unix:PATH or any other gRPC target)",
        "tokens.orders.file: is required (the file that programs read)",
        "tokens.orders.identity_pool_id: is required (the pool, as REGION:GUID)",
    )


def test_no_login_is_shown(toml: Toml, server: FakeTokendServer, directory: Path) -> None:
    for logins in ({server.developer_provider_name: [USER]}, {server.developer_provider_name: ""}, USER):
        path = toml(document(server, directory, logins=logins, mode=USER))
        assert USER not in "".join(problems(path)).replace(f"mode: {USER}", "")
    settings = load(toml(document(server, directory)))
    assert USER not in repr(settings)


def test_a_login_must_be_in_either_logins_or_login_files(toml: Toml, server: FakeTokendServer, directory: Path) -> None:
    files = {server.developer_provider_name: str(directory / "login")}
    (found,) = problems(toml(document(server, directory, login_files=files)))
    assert "is in logins and in login_files" in found
    (found,) = problems(toml(document(server, directory, logins={})))
    assert "logins or login_files must name the user" in found


def test_tokens_with_the_same_name_file_or_projected_directory_are_rejected(
    toml: Toml, server: FakeTokendServer, directory: Path
) -> None:
    wrong = document(server, directory)
    other = directory / "projected"
    wrong["tokens"] += [
        token(server, directory / "x" / ".." / "token"),
        token(server, other / "a", name="a", layout="projected"),
        token(server, other / "b", name="b"),
    ]
    assert problems(toml(wrong)) == (
        "tokens.orders: 2 tokens have this name",
        f"tokens.orders, orders: have the same file, {directory / 'token'}",
        "tokens.a: a projected directory has one token, but also contains b",
    )


@pytest.mark.parametrize("name", ["/", "/..", f"/run/{'n' * 244}", f"/run/{'é' * 122}"])
def test_invalid_and_too_long_file_names_are_rejected(
    toml: Toml, server: FakeTokendServer, directory: Path, name: str
) -> None:
    (found,) = problems(toml(document(server, directory) | {"tokens": [token(server, Path(name))]}))
    assert found.startswith("tokens.orders.file: must end with the name of a file, at most 243 bytes long")


def test_conflicting_files_are_detected_through_symbolic_links(
    toml: Toml, server: FakeTokendServer, directory: Path
) -> None:
    (directory / "linked").symlink_to(directory)
    wrong = document(server, directory, layout="projected")
    wrong["tokens"] += [
        token(server, directory / "linked" / "token", name="same"),
        token(server, directory / "linked" / "other", name="other"),
    ]
    assert problems(toml(wrong)) == (
        f"tokens.orders, same: have the same file, {directory / 'token'}",
        "tokens.orders: a projected directory has one token, but also contains same, other",
    )


def test_values_of_other_types_are_rejected(toml: Toml, server: FakeTokendServer, directory: Path) -> None:
    for value in (True, "3"):
        wrong = document(server, directory)
        wrong["tokend"]["timeout_seconds"] = value
        (found,) = problems(toml(wrong))
        assert found.startswith("tokend.timeout_seconds: ")
    (found,) = problems(toml(document(server, directory, identity_id="")))
    assert found.startswith("tokens.orders.identity_id: "), "an empty one would be an identity of its own"
    whole = document(server, directory)
    whole["tokend"]["timeout_seconds"] = 2
    assert load(toml(whole)).tokend.timeout_seconds == 2


def test_a_token_file_that_overwrites_a_file_of_the_agent_is_rejected(
    toml: Toml, server: FakeTokendServer, directory: Path
) -> None:
    wrong = document(server, directory)
    wrong["tokend"]["bearer_token_file"] = str(directory / "bearer")
    wrong["health"]["listen"] = f"unix:{directory}/health"
    (directory / "linked").symlink_to(directory)
    provider = server.developer_provider_name
    login = {"logins": {}, "login_files": {provider: str(directory / "login")}}
    path = toml(wrong)
    wrong["tokens"] = [
        token(server, directory / "linked" / "bearer", name="a"),
        token(server, directory / "health", name="b"),
        token(server, path, name="c"),
        token(server, directory / "login", name="d", **login),
        token(server, directory / "token", name="e", **login),
    ]
    assert problems(toml(wrong)) == (
        "tokens.a.file: is also the file in tokend.bearer_token_file, and tokens would overwrite it",
        "tokens.b.file: is also the file in health.listen, and tokens would overwrite it",
        "tokens.c.file: is also the file in --config, and tokens would overwrite it",
        "tokens.d.file: is also the file in its own login_files, and tokens would overwrite it",
    )


def test_a_token_file_may_be_the_login_file_of_another_token(
    toml: Toml, server: FakeTokendServer, directory: Path
) -> None:
    chained = document(server, directory)
    login = {"logins": {}, "login_files": {server.developer_provider_name: str(directory / "token")}}
    chained["tokens"].append(token(server, directory / "other", name="other", **login))
    assert [each.name for each in load(toml(chained)).tokens] == ["orders", "other"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"tokens = ", "Invalid value"),
        (b"\xff", "byte 1 is not UTF-8"),
        (b"", "must have at least one table"),
        (b"tokens = 5\ntokend = 5", "tokend: must be a table"),
    ],
)
def test_an_invalid_configuration_file_is_rejected(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "agent.toml"
    path.write_bytes(content)
    assert problem in "\n".join(problems(path))
    assert "No such file" in problems(tmp_path / "none")[0]


@pytest.mark.parametrize("listen", ["127.0.0.1", "here:1", "127.0.0.1:65536", "unix:relative", "127.0.0.1:x"])
def test_invalid_health_addresses_are_rejected(
    toml: Toml, server: FakeTokendServer, directory: Path, listen: str
) -> None:
    (found,) = problems(toml(document(server, directory) | {"health": {"listen": listen}}))
    assert found.startswith("health: ")


@pytest.mark.parametrize("listen", ["", "[::1]:0", "localhost:0", "unix:/run/x", "127.9.9.9:80"])
def test_health_addresses_of_this_machine_are_accepted(
    toml: Toml, server: FakeTokendServer, directory: Path, listen: str
) -> None:
    load(toml(document(server, directory) | {"health": {"listen": listen}}))
    load(toml(document(server, directory) | {"health": {"listen": "0.0.0.0:1", "other_machines": True}}))


@pytest.mark.parametrize("mode", ["600", "0640", "0444", "0400"])
def test_modes_that_do_not_let_others_write_are_accepted(
    toml: Toml, server: FakeTokendServer, directory: Path, mode: str
) -> None:
    assert load(toml(document(server, directory, mode=mode))).tokens[0].mode == int(mode, 8)


@pytest.mark.parametrize("mode", [600, 0o600, "0620", "0602", "4600", "0700", "0200", "rw", ""])
def test_invalid_modes_and_modes_that_let_others_write_are_rejected(
    toml: Toml, server: FakeTokendServer, directory: Path, mode: object
) -> None:
    assert "tokens.orders.mode" in problems(toml(document(server, directory, mode=mode)))[0]


def test_owner_and_group_may_be_names_or_numbers(toml: Toml, server: FakeTokendServer, directory: Path) -> None:
    for owner in ("root", "0", 0):
        (settings,) = load(toml(document(server, directory, owner=owner, group=owner))).tokens
        assert (settings.owner, settings.group) == (0, 0)
    (settings,) = load(toml(document(server, directory))).tokens
    assert (settings.owner, settings.group) == (-1, -1)


def test_plaintext_and_tls_exclude_each_other(toml: Toml, server: FakeTokendServer, directory: Path) -> None:
    wrong = document(server, directory)
    wrong["tokend"] |= {"ca_file": "/x", "client_key_file": "/x"}
    assert [each.split(" ")[1] for each in problems(toml(wrong))] == ["client_certificate_file", "plaintext"]


@pytest.mark.parametrize("endpoint", ["tokend:50051", "dns:///tokend:50051", "unix:/run/tokend.sock", "[::1]:50051"])
def test_grpc_targets_are_accepted_as_endpoints(endpoint: str) -> None:
    assert service(endpoint=endpoint).endpoint == endpoint


@pytest.mark.parametrize("endpoint", ["", "https://tokend:50051", "http://tokend", "a b:1", "a\n:1"])
def test_urls_and_malformed_endpoints_are_rejected(
    toml: Toml, server: FakeTokendServer, directory: Path, endpoint: str
) -> None:
    wrong = document(server, directory)
    wrong["tokend"]["endpoint"] = endpoint
    (found,) = problems(toml(wrong))
    assert found.startswith("tokend.endpoint: must be")


def service(**settings: object) -> Service:
    return Service.model_validate({"endpoint": "tokend.example.internal:443"} | settings)


def test_all_files_of_the_connection_are_checked(tmp_path: Path) -> None:
    missing = str(tmp_path / "none")
    names = ["ca_file", "client_certificate_file", "client_key_file", "bearer_token_file"]
    with pytest.raises(ConnectionProblem) as caught:
        check_connection(service(**dict.fromkeys(names, missing)))
    assert caught.value.problems == tuple(f"tokend.{name}: {missing}: No such file or directory" for name in names)


def test_files_of_the_connection_must_be_valid_pem(tmp_path: Path) -> None:
    junk = tmp_path / "junk"
    junk.write_text("no PEM", encoding="ascii")
    files = {name: str(junk) for name in ("ca_file", "client_certificate_file", "client_key_file")}
    with pytest.raises(ConnectionProblem) as caught:
        check_connection(service(**files))
    assert [each.split(":")[0] for each in caught.value.problems] == [
        "tokend.ca_file",
        "tokend.client_certificate_file, client_key_file",
    ]
    made = write_certificate(tmp_path)
    files = {name: str(made.certificate_file) for name in ("ca_file", "client_certificate_file")}
    check_connection(service(**files, client_key_file=str(made.private_key_file)))


def test_a_bearer_token_does_not_leave_the_machine_in_plaintext(tmp_path: Path) -> None:
    bearer = tmp_path / "bearer"
    bearer.write_text("a.b.c", encoding="ascii")
    with pytest.raises(ConnectionProblem, match=r"tokend\.bearer_token_file: is not sent"):
        check_connection(service(plaintext=True, bearer_token_file=str(bearer)))
    check_connection(service(plaintext=True, bearer_token_file=str(bearer), endpoint="127.0.0.1:1"))
