"""The usage of tokendctl: help, and invalid command lines."""

import re

import pytest
from tests.unit.client.tokendctl_lines import GET, LOOKUP, MERGE, POOL, UNLINK, run

from tokend_client.tokendctl.exit_codes import ExitCode


@pytest.mark.parametrize(
    "option",
    [
        *("--timeout=0", "--timeout=-1", "--timeout=nan", "--timeout=inf", "--timeout=x", "--endpoint=", "--foo=1"),
        *(
            "--endpoint=\udcff",
            "--color=red",
            "--output=xml",
            "--query=[",
            "--region=",
            "--max-results=x",
            "--next-token=\udcff",
        ),
    ],
)
def test_wrong_usage_is_exit_code_252(option: str) -> None:
    result = run(LOOKUP, "--identity-pool-id", POOL, option)
    assert (result.stdout, result.exit_code) == ("", 252)
    assert option.partition("=")[0] in result.stderr


def test_every_problem_is_reported_on_a_separate_line() -> None:
    options = ("--token-duration", "x", "--output", "xml", "--timeout", "0", "--profile=prod")
    result = run("--nope", GET, "--cli-input-json", '{"Foo": 1}', *options)
    assert result.stderr == (
        "tokendctl: the input cannot be used:\n"
        "  --output: expected one of json, text, table, yaml, yaml-stream\n"
        "  --timeout: expected a number of seconds above 0 and up to 86400\n"
        "  --profile: there are no profiles; authenticate with --bearer-token-file or --client-certificate-file\n"
        "  unknown options: --nope\n"
        "  --cli-input-json: unknown member 'Foo'\n"
        "  --token-duration: expected an integer of 64 bits\n"
        "  the following arguments are required: --identity-pool-id, --logins\n"
        "  See `tokendctl help`, `tokendctl COMMAND help`.\n"
    )
    assert result.exit_code == 252


@pytest.mark.parametrize(
    "words",
    [
        ["--logins", "a=b", "c=s3cret"],
        ["--logins", "a=b,", "c=s3cret"],
        ["--logins", "s3cret"],
        ["--logins", "a=s3cret,b=s3cret's3cret"],
        ["--logins", '{"a": "s3cret'],
        ["--logins", '{"a": ["s3cret"]}'],
        ["--logins", "a=b", "--s3=s3cret"],
        ["--cli-input-json", '{"Logins": {"a": "s3cret",}}'],
        ["--cli-input-yaml", "Logins: {a: s3cret, a: s3cret}"],
        ["--cli-input-yaml", "Logins: {a: 's3cret}"],
        ["--cli-input-yaml", "Logins: {a: !!bool s3cret}"],
        ["--cli-input-yaml", "Logins: {a: !!int '', b: s3cret}"],
        ["--cli-input-yaml", 'Logins: {a: "\\U90000000s3cret"}'],
        ["--logins", "a=b", "--debug=s3cret"],
        ["--logins", "a=b", "--identity=s3cret"],
        ["--logins", "a=b", "--generate-cli-skeleton=s3cret"],
    ],
)
def test_a_mistyped_login_is_not_repeated(words: list[str]) -> None:
    result = run(GET, "--identity-pool-id", POOL, *words)
    assert result.exit_code == 252
    assert "s3cret" not in result.stdout + result.stderr


@pytest.mark.parametrize("option", ["--profile", "--no-verify-ssl"])
def test_an_unsupported_option_is_rejected_with_its_alternative(option: str) -> None:
    result = run(LOOKUP, "--identity-pool-id", POOL, option)
    assert result.exit_code == 252
    assert f"  {option}: " in result.stderr
    assert " with --" in result.stderr
    assert run(option, LOOKUP, "--identity-pool-id", POOL) == result


@pytest.mark.parametrize("words", [["--regoin=us-east-1"], ["--regoin", "us-east-1"], ["--regoin"]])
def test_an_unknown_option_before_the_command_is_reported(words: list[str]) -> None:
    result = run(*words, LOOKUP, "--identity-pool-id", POOL)
    assert result.stderr == run(LOOKUP, "--identity-pool-id", POOL, *words).stderr
    assert result.stderr.splitlines()[1:-1] == ["  unknown options: --regoin"]
    assert result.exit_code == 252


def test_an_unknown_option_without_a_command_is_named_too() -> None:
    for words in (["--regoin=s3cret"], ["--regoin", "s3cret"], ["--regoin=s3cret", "help"]):
        expected, unknown = run(*words).stderr.splitlines()[1:-1]
        assert expected.startswith("  expected a command: ")
        assert unknown == "  unknown options: --regoin"


def test_the_version_is_one_line() -> None:
    result = run("--version")
    assert re.fullmatch(r"tokendctl/\S+ Python/\S+ grpc/\S+ \S+/\S+\n", result.stdout)
    assert (result.stderr, result.exit_code) == ("", 0)


@pytest.mark.parametrize("words", [["help"], ["--help"]])
def test_help_names_the_commands_and_the_exit_codes(words: list[str]) -> None:
    page = run(*words).stdout
    assert all(command in page for command in (GET, LOOKUP, MERGE, UNLINK))
    assert all(f"    {code:>3}  " in page for code in ExitCode)


def test_the_help_of_a_command_is_complete() -> None:
    page = run(GET, "help").stdout
    assert page == run(GET, "--help").stdout
    for text in (
        "1 to 86400. Default: 900.",
        "KeyName1=string,KeyName2=string",
        '{"KeyName1": "string", "KeyName2": "string"}',
        "process lists",
        "their history",
        "file:///dev/stdin",
        "OUTPUT\n    IdentityId\n",
        "Default: TOKEND_ENDPOINT, else",
    ):
        assert text in page


def test_a_line_without_a_command_is_wrong_usage() -> None:
    for words in ([], ["--region", "us-east-1"], ["nonsense"]):
        assert run(*words).exit_code == 252
