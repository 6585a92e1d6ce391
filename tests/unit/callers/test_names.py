"""Valid and invalid names of callers."""

from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tokend_server.callers.names import check_spelling, name_by_token

_SUBJECTS = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1)


@given(subject=_SUBJECTS)
@example("50%")
@example("%25")
@example("\u202eadmin")
def test_a_subject_can_be_read_back_from_its_name(subject: str) -> None:
    spelled = name_by_token("idp", subject).removeprefix("jwt:idp:")
    assert unquote(spelled, errors="strict") == subject
    assert check_spelling(spelled) == spelled


@given(subject=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="%"), min_size=1))
def test_printable_ascii_is_not_encoded(subject: str) -> None:
    assert name_by_token("idp", subject) == f"jwt:idp:{subject}"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("jwt:idp:a b", "jwt:idp:a%20b"),
        ("jwt:idp:é", "jwt:idp:%C3%A9"),
        ("jwt:idp:a\n", "jwt:idp:a%0A"),
        ("jwt:idp:50%25 é", "jwt:idp:50%25%20%C3%A9"),
        ("jwt:idp:\udce9", "percent-encoded"),
        ("jwt:idp:50%", "%25 for % itself"),
        ("jwt:idp:%c3%a9", "upper case"),
        ("jwt:idp:%41", "%20 for a space"),
        ("jwt:idp:%0A", "%80 to %FF"),
    ],
)
def test_an_invalid_caller_name_is_rejected_with_its_valid_spelling(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match="caller") as caught:
        check_spelling(text)
    assert hint in str(caught.value)
