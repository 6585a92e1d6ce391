import json
from pathlib import Path
from typing import Any

import pytest

from tokend_client.tokendctl import cli_input, paramfile, yaml_document
from tokend_client.tokendctl.errors import InvalidInput
from tokend_client.tokendctl.json_document import type_name
from tokend_client.tokendctl.operations import operations
from tokend_client.tokendctl.skeleton import input_skeleton

GET, LOOKUP, *_ = operations()
POOL = "us-east-1:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"

NO_MAP = "entry 1 (from character 1 on) is not KEY=VALUE; put quotes around a value that has commas, quotes or brackets"


def merged(cli_input_json: str | None = None, **options: str) -> dict[str, Any]:
    members = LOOKUP.members if "max_results" in options else GET.members
    given = {member.field: options.get(member.field) for member in members}
    return cli_input.merge(members, given, cli_input.document(cli_input_json, None))


def problems(cli_input_json: str | None = None, **options: str) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        merged(cli_input_json, **options)
    return list(caught.value.problems)


def test_options_alone_are_enough() -> None:
    fields = merged(identity_pool_id=POOL, logins="a=b", principal_tags='{"team": "red"}', token_duration="60")
    assert fields == {
        "identity_pool_id": POOL,
        "logins": {"a": "b"},
        "principal_tags": {"team": "red"},
        "token_duration": 60,
    }


def test_a_document_alone_is_enough() -> None:
    document = {"IdentityPoolId": POOL, "Logins": {"a": "b"}, "PrincipalTags": {}, "TokenDuration": 60}
    assert merged(json.dumps(document)) == {
        "identity_pool_id": POOL,
        "logins": {"a": "b"},
        "principal_tags": {},
        "token_duration": 60,
    }


def test_an_option_replaces_the_whole_member() -> None:
    document = json.dumps({"IdentityPoolId": POOL, "Logins": {"a": "b", "c": "d"}, "TokenDuration": "no number"})
    fields = merged(document, logins="e=f", token_duration="60")
    assert fields == {"identity_pool_id": POOL, "logins": {"e": "f"}, "token_duration": 60}


def test_an_unedited_skeleton_is_refused() -> None:
    assert problems(json.dumps(input_skeleton(GET))) == [
        "--cli-input-json: IdentityPoolId: empty, expected 1 to 55 characters",
        "--cli-input-json: IdentityId: empty, expected 1 to 55 characters",
        "--cli-input-json: Logins: key 'KeyName': empty, expected 1 to 50000 characters",
        "--cli-input-json: PrincipalTags: key 'KeyName': empty, expected 1 to 256 characters",
        "--cli-input-json: TokenDuration: too small, expected 1 to 86400",
    ]


def test_empty_option_values_are_refused() -> None:
    assert problems(identity_pool_id=POOL, logins="a=b", identity_id="") == [
        "--identity-id: empty, expected 1 to 55 characters"
    ]
    assert problems(identity_pool_id=POOL, logins='{"a": "", "": "b"}') == [
        "--logins: key 'a': empty, expected 1 to 50000 characters",
        "--logins: key '': empty, expected 1 to 128 characters",
    ]


def test_a_document_may_be_yaml() -> None:
    text = f"# a comment\nIdentityPoolId: {POOL}\nLogins:\n  login.example.internal: 'no'\nTokenDuration: 60\n"
    given = cli_input.document(None, text)
    fields = cli_input.merge(GET.members, dict.fromkeys((member.field for member in GET.members), None), given)
    assert fields == {"identity_pool_id": POOL, "logins": {"login.example.internal": "no"}, "token_duration": 60}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Logins: {a: s3cret, a: s3cret}", "not valid YAML at line 1, column 21"),
        ("Logins: {a: 's3cret}", "not valid YAML at line 1, column 21"),
        ("Logins: {1: s3cret}", "a key is not a string; put quotes around it"),
        ("- s3cret", "expected an object, found an array"),
        ("", "expected an object, found null"),
        ("{}\n---\n{}", "not valid YAML at line 2, column 1"),
        ("a: !!python/name:os.system", "not valid YAML at line 1, column 4"),
    ],
)
def test_a_document_that_is_not_one_yaml_mapping_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        yaml_document.parse_object(text)
    assert caught.value.problems == (problem,)


def test_yaml_values_have_their_types_by_yaml_1_2() -> None:
    parsed = yaml_document.parse_object("a: yes\nb: 0123\nc: 12:30\nd: 2020-01-01\n").members
    assert [type_name(value) for _, value in parsed] == [
        "a string",
        "an integer",
        "a string",
        "a value of another type",
    ]


def test_json_and_yaml_documents_exclude_each_other() -> None:
    with pytest.raises(InvalidInput, match="exclude each other"):
        cli_input.document("{}", "{}")


def test_file_urls_normalize_text_and_fileb_urls_keep_it_exact(tmp_path: Path) -> None:
    (tmp_path / "user").write_bytes(b"\xef\xbb\xbfa\r\n")
    assert paramfile.load(f"file://{tmp_path}/user") == "a\n"
    assert paramfile.load(f"fileb://{tmp_path}/user") == "\ufeffa\r\n"


def test_every_problem_is_reported_at_once() -> None:
    document = '{"IdentityId": 5, "Logins": {"a": null, "b": "x", "b": "y"}, "Foo": 1, "Bar": 2, "Foo": 3}'
    assert problems(document, principal_tags="x", token_duration="1.5") == [
        "--cli-input-json: unknown member 'Foo'",
        "--cli-input-json: unknown member 'Bar'",
        "--cli-input-json: IdentityId: expected a string, found an integer",
        "--cli-input-json: Logins: key 'a': expected a string, found null",
        "--cli-input-json: Logins: key 'b': given 2 times",
        f"--principal-tags: {NO_MAP}",
        "--token-duration: expected an integer of 64 bits",
        "the following arguments are required: --identity-pool-id",
    ]


def test_all_missing_options_are_named() -> None:
    assert problems() == ["the following arguments are required: --identity-pool-id, --logins"]


def test_missing_options_are_not_reported_if_the_document_is_invalid() -> None:
    assert problems("{", token_duration="x") == [
        "--cli-input-json: not valid JSON at line 1, column 2: Expecting property name enclosed in double quotes",
        "--token-duration: expected an integer of 64 bits",
    ]


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("[]", "expected an object, found an array"),
        ('"x"', "expected an object, found a string"),
        ("", "not valid JSON at line 1, column 1: Expecting value"),
        ("[" * 100_000, "not readable JSON: a number is too long or the nesting too deep"),
        ('{"TokenDuration": ' + "9" * 5_000 + "}", "not readable JSON: a number is too long or the nesting too deep"),
    ],
)
def test_a_document_that_is_not_a_json_object_is_refused(document: str, problem: str) -> None:
    assert problems(document) == [f"--cli-input-json: {problem}"]


@pytest.mark.parametrize(
    ("member", "problem"),
    [
        ('"TokenDuration": true', "TokenDuration: expected an integer of 64 bits, found a boolean"),
        ('"TokenDuration": 900.0', "TokenDuration: expected an integer of 64 bits, found a number"),
        ('"TokenDuration": "900"', "TokenDuration: expected an integer of 64 bits, found a string"),
        ('"TokenDuration": 9223372036854775808', "TokenDuration: expected an integer of 64 bits"),
        ('"Logins": ["a"]', "Logins: expected an object, found an array"),
        ('"Logins": {"a": {"b": "c"}}', "Logins: key 'a': expected a string, found an object"),
        ('"IdentityId": null', "IdentityId: expected a string, found null"),
        ('"IdentityId": "x", "IdentityId": "y"', "IdentityId: given 2 times"),
        (r'"IdentityId": "\ud800"', "IdentityId: not valid Unicode"),
    ],
)
def test_invalid_members_are_reported(member: str, problem: str) -> None:
    assert f"--cli-input-json: {problem}" in problems(f"{{{member}}}")


@pytest.mark.parametrize(("text", "value"), [("1", 1), (" +60\n", 60), ("2147483647", 2**31 - 1)])
def test_an_integer_option_is_decimal(text: str, value: int) -> None:
    assert merged(identity_pool_id=POOL, max_results=text)["max_results"] == value


@pytest.mark.parametrize("text", ["", "1_000", "0x10", "1.0", "٣", "2147483648", "9" * 5_000])
def test_invalid_integers_of_32_bits_are_refused(text: str) -> None:
    assert problems(identity_pool_id=POOL, max_results=text) == ["--max-results: expected an integer of 32 bits"]


def test_problems_never_repeat_a_value() -> None:
    document = '{"Logins": {"a": ["s3cret"], "b": "s3cret", "b": "s3cret"}, "IdentityId": ["s3cret"]}'
    assert "s3cret" not in "\n".join(problems(document, token_duration="s3cret", principal_tags="a=s3cret's3cret"))


def test_options_and_documents_may_be_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOGINS_DIR", str(tmp_path))
    (tmp_path / "input.json").write_text(f'{{"IdentityPoolId": "{POOL}", "TokenDuration": 60}}')
    (tmp_path / "logins.json").write_text('{"login.example.internal": "Ålice"}\n', encoding="utf-8")
    (tmp_path / "id").write_bytes(b"id\r\n")
    fields = merged(f"file://{tmp_path}/input.json", logins="file://~/logins.json", identity_id="file://$LOGINS_DIR/id")
    assert fields == {
        "identity_pool_id": POOL,
        "token_duration": 60,
        "logins": {"login.example.internal": "Ålice"},
        "identity_id": "id\n",
    }


def test_a_single_login_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("ey.ey.x", encoding="utf-8-sig")  # as some editors write it
    fields = merged(identity_pool_id=POOL, logins=f"a=alice,b@=file://{tmp_path}/token,c=file://literal,d@=plain")
    assert fields["logins"] == {"a": "alice", "b": "ey.ey.x", "c": "file://literal", "d": "plain"}


def test_a_file_named_inside_a_document_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("ey.ey.x")
    fields = merged(json.dumps({"IdentityPoolId": POOL, "Logins": {"a": f"file://{tmp_path}/token"}}))
    assert fields["logins"] == {"a": f"file://{tmp_path}/token"}


def test_a_file_of_a_user_without_a_home_is_a_problem() -> None:
    assert problems("file://~no-such-user-here/input.json", identity_pool_id=POOL) == [
        "--cli-input-json: cannot read the file '~no-such-user-here/input.json': No such file or directory"
    ]


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "latin-1").write_bytes(b"s\xe9cret")
    (tmp_path / "nul").write_text("a@=file://x\0y")
    assert problems(
        f"file://{tmp_path}/none",
        identity_pool_id=f"file://{tmp_path}/latin-1",
        identity_id=f"file://{tmp_path}",
        logins=f"file://{tmp_path}/nul",
    ) == [
        f"--cli-input-json: cannot read the file '{tmp_path}/none': No such file or directory",
        f"--identity-pool-id: cannot read the file '{tmp_path}/latin-1' as UTF-8 text",
        f"--identity-id: cannot read the file '{tmp_path}': Is a directory",
        "--logins: cannot read the file 'x\\x00y' as UTF-8 text",
    ]
