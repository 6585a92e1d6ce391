import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokend_client.tokendctl import shorthand
from tokend_client.tokendctl.errors import InvalidInput

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
BARE_KEY = st.from_regex(r"[A-Za-z0-9\-_.#/:]+", fullmatch=True)
BARE_VALUE = st.from_regex(r"[A-Za-z0-9_.|+/-][A-Za-z0-9_.|+/=\[{é😀,-]*", fullmatch=True)
SPACE = st.sampled_from(["", " ", "\n", " \t"])


def quoted(text: str, quote: str) -> str:
    return quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote


@given(st.dictionaries(TEXT, TEXT, min_size=1), st.data())
def test_a_quoted_map_of_any_text_reads_back(values: dict[str, str], data: st.DataObject) -> None:
    def written(text: str) -> str:
        quote = data.draw(st.sampled_from("'\""))
        return data.draw(SPACE) + quoted(text, quote) + data.draw(SPACE)

    text = ",".join(f"{written(key)}={written(value)}" for key, value in values.items())
    assert [(entry.key, entry.value) for entry in shorthand.parse(text)] == list(values.items())


@given(st.dictionaries(BARE_KEY, BARE_VALUE, min_size=1))
def test_a_bare_map_reads_back(values: dict[str, str]) -> None:
    text = ",".join(key + "=" + value.replace(",", "\\,") for key, value in values.items())
    assert [(entry.key, entry.value) for entry in shorthand.parse(text)] == list(values.items())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("login.example.internal=alice", [("login.example.internal", "alice")]),
        ('a="x,y",b=z', [("a", "x,y"), ("b", "z")]),
        ("a='it is \"so\"'", [("a", 'it is "so"')]),
        (r'a="say \"hi\"",b="C:\\dir"', [("a", 'say "hi"'), ("b", "C:\\dir")]),
        (r"a='C:\dir'", [("a", r"C:\dir")]),
        (r"a=x\,y,b=z", [("a", "x,y"), ("b", "z")]),
        ("jwt=eyJh.eyJz.c2ln==,b=z=z", [("jwt", "eyJh.eyJz.c2ln=="), ("b", "z=z")]),
        ("a = x y , b\n=\tz\n", [("a", "x y"), ("b", "z")]),
        ("a=,b=", [("a", ""), ("b", "")]),
        ("a=file://x", [("a", "file://x")]),
        (
            "arn:aws:iam::123456789012:saml-provider/Idp#1=v",
            [("arn:aws:iam::123456789012:saml-provider/Idp#1", "v")],
        ),
        ("a=x,a=y", [("a", "x"), ("a", "y")]),
    ],
)
def test_the_grammar_is_that_of_the_aws_cli(text: str, expected: list[tuple[str, str]]) -> None:
    assert [(entry.key, entry.value) for entry in shorthand.parse(text)] == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "a", "=x", "a=x,", ",a=x", "a=x,b", "a==x", "a=[x]", "a={b=x}", "a=x'y", 'a="x"y', "a='x", 'a="x'),
        *("a b=x", "é=x", "a=x]", "a=x y}", r"a='x\'"),
    ],
)
def test_an_invalid_shorthand_map_is_rejected(text: str) -> None:
    with pytest.raises(InvalidInput):
        shorthand.parse(text)


def test_an_at_sign_marks_values_that_may_be_in_a_file() -> None:
    entries = shorthand.parse("a@=file://x,b@='file://y z',c=file://w")
    assert entries == [("a", "file://x", True), ("b", "file://y z", True), ("c", "file://w", False)]


def test_a_rejection_has_the_position_without_the_text() -> None:
    with pytest.raises(InvalidInput) as caught:
        shorthand.parse("a=x,b=pass'word")
    assert caught.value.problems[0].startswith("entry 2 (from character 5 on) is not KEY=VALUE")
    assert "pass" not in str(caught.value)


def test_a_long_text_that_does_not_match_is_refused_at_once() -> None:
    with pytest.raises(InvalidInput):
        shorthand.parse("a=" + "x " * 25_000 + "'")
