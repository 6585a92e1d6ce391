from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokend_server.model import LookupRequest, Secret, TokenRequest
from tokend_server.request_key import request_key

#: Few letters and short strings, so that parts of different requests are often equal.
TEXTS = st.text(':,"\\[{\0\x01n1é日', max_size=3)
SECRETS = TEXTS.map(Secret)

#: Every field of a request with its values.
FIELDS: Mapping[type, Mapping[str, st.SearchStrategy[Any]]] = {
    TokenRequest: {
        "identity_pool_id": TEXTS,
        "logins": st.dictionaries(TEXTS, SECRETS, max_size=3),
        "identity_id": st.none() | TEXTS,
        "principal_tags": st.dictionaries(TEXTS, TEXTS, max_size=3),
        "token_duration": st.integers(0, 3).map(lambda seconds: timedelta(seconds=seconds)),
        "caller": TEXTS,
    },
    LookupRequest: {
        "identity_pool_id": TEXTS,
        "identity_id": st.none() | TEXTS,
        "developer_user_identifier": st.none() | SECRETS,
        "max_results": st.integers(1, 3),
        "next_token": st.none() | TEXTS,
        "caller": TEXTS,
    },
}
REQUESTS = st.one_of([st.builds(kind, **values) for kind, values in FIELDS.items()])
EVERY_FIELD = [(kind, name) for kind, values in FIELDS.items() for name in values]


@pytest.mark.parametrize("kind", FIELDS)
def test_every_field_of_a_request_is_tested_here(kind: Any) -> None:  # noqa: ANN401 - a kind of request
    assert tuple(FIELDS[kind]) == tuple(kind.__annotations__)


@settings(max_examples=300)
@given(one=REQUESTS, other=REQUESTS, epochs=st.tuples(st.integers(0, 2), st.integers(0, 2)))
def test_requests_share_a_key_only_if_all_is_the_same(
    one: TokenRequest | LookupRequest, other: TokenRequest | LookupRequest, epochs: tuple[int, int]
) -> None:
    same = type(one) is type(other) and one == other and epochs[0] == epochs[1]
    assert (request_key(epochs[0], one) == request_key(epochs[1], other)) == same


@pytest.mark.parametrize(("kind", "name"), EVERY_FIELD)
@given(data=st.data())
def test_each_field_changes_the_key(kind: Any, name: str, data: st.DataObject) -> None:  # noqa: ANN401
    members = data.draw(st.fixed_dictionaries(dict(FIELDS[kind])))
    changed = members | {name: data.draw(FIELDS[kind][name], "other value")}
    same = members == changed
    assert (request_key(0, kind(**members)) == request_key(0, kind(**changed))) == same


@given(data=st.data(), epoch=st.integers(0, 1))
def test_the_order_of_logins_and_tags_does_not_matter(data: st.DataObject, epoch: int) -> None:
    members = data.draw(st.fixed_dictionaries(dict(FIELDS[TokenRequest])))
    turned: dict[str, Any] = {
        name: dict(reversed(value.items())) if isinstance(value, dict) else value for name, value in members.items()
    }
    assert request_key(epoch, TokenRequest(**members)) == request_key(epoch, TokenRequest(**turned))


@given(members=st.fixed_dictionaries(dict(FIELDS[TokenRequest])))
def test_requests_of_different_types_never_share_a_key(members: dict[str, Any]) -> None:
    twin = LookupRequest(**dict(zip(FIELDS[LookupRequest], members.values(), strict=True)))
    assert request_key(0, TokenRequest(**members)) != request_key(0, twin)


def test_names_and_values_of_logins_are_not_confused() -> None:
    logins = [
        {"a": Secret("b")},
        {"b": Secret("a")},
        {"ab": Secret("")},
        {"": Secret("ab")},
        {"a": Secret("b:")},
        {"a": Secret("b"), "c": Secret("d")},
        {"a": Secret('b","c":"d')},
    ]
    keys = {request_key(0, TokenRequest("us-east-1:0", each)) for each in logins}
    assert len(keys) == len(logins)


def test_other_types_are_rejected() -> None:
    logins: Any = {"a": object()}
    with pytest.raises(TypeError):
        request_key(0, TokenRequest("us-east-1:0", logins))
