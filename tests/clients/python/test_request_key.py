from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokend_client import TokenRequest
from tokend_client.request_key import Field, encode

#: Few letters and short strings, so that parts of different requests are often equal.
TEXTS = st.text(":,\0\x01nsdm1é日", max_size=3)
MAPS = st.dictionaries(TEXTS, TEXTS, max_size=3)
DURATIONS = st.none() | st.integers(0, 3).map(lambda seconds: timedelta(seconds=seconds))

FIELDS: Mapping[str, st.SearchStrategy[Any]] = {
    "identity_pool_id": TEXTS,
    "logins": MAPS,
    "identity_id": st.none() | TEXTS,
    "principal_tags": MAPS,
    "token_duration": DURATIONS,
}
REQUESTS = st.builds(TokenRequest, **FIELDS)


def test_every_field_of_a_request_is_tested_here() -> None:
    assert set(FIELDS) == {field.name for field in fields(TokenRequest)}


def decoded(encoding: bytes) -> list[Field]:
    """Returns the values whose encodings were concatenated."""
    values: list[Field] = []
    while encoding:
        tag, length = encoding[:1], int.from_bytes(encoding[1:9])
        content, encoding = encoding[9 : 9 + length], encoding[9 + length :]
        assert len(content) == length
        values.append(_value(tag, content))
    return values


def _value(tag: bytes, content: bytes) -> Field:
    match tag:
        case b"n":
            return None
        case b"s":
            return content.decode()
        case b"d":
            return timedelta(microseconds=int(content))
        case _:
            assert tag == b"m"
            texts: list[Any] = decoded(content)
            return dict(zip(texts[::2], texts[1::2], strict=True))


@given(values=st.lists(TEXTS | MAPS | DURATIONS, max_size=4))
def test_encoded_values_can_be_decoded(values: list[Field]) -> None:
    assert decoded(b"".join(map(encode, values))) == values


def test_texts_that_look_like_the_encoding_share_no_key() -> None:
    def key(**tags: str) -> bytes:
        return TokenRequest(identity_pool_id="r:0", logins={}, principal_tags=tags).key

    looks_like_two = "b" + encode("c").decode("latin-1") + encode("d").decode("latin-1")
    keys = {key(a="b", c="d"), key(a=looks_like_two), key(a="bscsd"), key(asb="csd"), key(ab="cd"), key(a="bcd")}
    assert len(keys) == 6


@settings(max_examples=300)
@given(one=REQUESTS, other=REQUESTS)
def test_requests_share_a_key_only_if_all_is_the_same(one: TokenRequest, other: TokenRequest) -> None:
    assert (one.key == other.key) == (one == other)
    assert one != other or hash(one) == hash(other)


@pytest.mark.parametrize("name", FIELDS)
@given(data=st.data())
def test_each_field_changes_the_key(name: str, data: st.DataObject) -> None:
    members = data.draw(st.fixed_dictionaries(dict(FIELDS)))
    changed = members | {name: data.draw(FIELDS[name])}
    assert (TokenRequest(**members).key == TokenRequest(**changed).key) == (members == changed)


@given(members=st.fixed_dictionaries(dict(FIELDS)))
def test_the_order_of_logins_and_tags_does_not_matter(members: dict[str, Any]) -> None:
    turned: dict[str, Any] = {k: dict(reversed(v.items())) if isinstance(v, dict) else v for k, v in members.items()}
    assert TokenRequest(**turned).key == TokenRequest(**members).key


def test_a_request_does_not_change_with_the_map_that_it_was_made_of() -> None:
    logins = {"login.example.test": "alice"}
    request = TokenRequest(identity_pool_id="r:0", logins=logins)
    logins["login.example.test"] = "bob"
    assert dict(request.logins) == {"login.example.test": "alice"}
    with pytest.raises(TypeError):
        request.logins["login.example.test"] = "bob"  # type: ignore[index]
