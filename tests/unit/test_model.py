import copy
import inspect
import json
import logging
import pickle
from collections.abc import Callable
from dataclasses import asdict
from traceback import format_exception

import pytest

from tokend_server import model
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.model import (
    DeveloperIdentity,
    Identity,
    IdentityOutcome,
    IssuedToken,
    Login,
    LookupRequest,
    MergeRequest,
    Secret,
    TemporaryCredentials,
    TokenRequest,
    UnlinkRequest,
    WebIdentity,
    refresh_time,
)

CANARY = "canary-4711"
SECRET = Secret(CANARY)
LOGIN = Login("login.example", SECRET)

#: A value of every type that contains a secret.
HOLDERS: list[object] = [
    TokenRequest("pool:1", {"login.example": SECRET}),
    IssuedToken("pool:2", SECRET, 2, 1, "RS512", "key-1", IdentityOutcome.CREATED),
    LookupRequest("pool:1", developer_user_identifier=SECRET),
    DeveloperIdentity("pool:2", (SECRET,)),
    MergeRequest("pool:1", "login.example", SECRET, SECRET),
    UnlinkRequest("pool:1", "pool:2", "login.example", SECRET),
    WebIdentity("pool:2", SECRET, {"amr": ["authenticated", CANARY]}),
    TemporaryCredentials("AKID", SECRET, SECRET, 1),
    LOGIN,
    Identity("pool:2", "pool:1", 1, 1, frozenset({LOGIN})),
    SigningKey("kid", SigningAlgorithm.RS512, 1, SECRET, 1, 1),
]

SHOWN: dict[str, Callable[[object], str]] = {
    "repr": repr,
    "str": str,
    "f-string": lambda value: f"{value}",
    "debug f-string": lambda value: f"{value=}",
    "percent s": lambda value: "%s" % (value,),  # noqa: UP031 -- logging formats so
    "percent r": lambda value: "%r" % (value,),  # noqa: UP031 -- logging formats so
    "in a container": lambda value: str([{"key": (value,)}]),
    "json with default": lambda value: json.dumps({"value": value}, default=str),
    "exception": lambda value: "".join(format_exception(ValueError(value))),
}


@pytest.mark.parametrize("show", SHOWN.values(), ids=SHOWN)
@pytest.mark.parametrize("value", [SECRET, *HOLDERS], ids=lambda value: type(value).__name__)
def test_a_secret_never_shows(value: object, show: Callable[[object], str]) -> None:
    shown = show(value)
    assert CANARY not in shown
    assert "Secret(***)" in shown


@pytest.mark.parametrize("spec", ["", "s", ">40", ".100", "!r"])
def test_no_format_shows_a_secret(spec: str) -> None:
    assert format(SECRET, spec) == "Secret(***)"


@pytest.mark.parametrize("value", [SECRET, *HOLDERS], ids=lambda value: type(value).__name__)
def test_a_secret_is_not_logged(value: object, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("test").warning("got %s and %r", value, value, extra={"value": value})
    assert CANARY not in caplog.text
    assert caplog.text.count("Secret(***)") >= 2


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_is_not_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="cannot be serialized"):
        pickle.dumps(SECRET, protocol)


@pytest.mark.parametrize("spread", [copy.copy, copy.deepcopy, json.dumps, vars, list])
def test_a_secret_cannot_be_copied_or_converted(spread: Callable[[object], object]) -> None:
    with pytest.raises(TypeError) as raised:
        spread(SECRET)
    assert CANARY not in str(raised.value)


def test_a_login_cannot_be_converted_to_a_dictionary() -> None:
    with pytest.raises(TypeError, match="cannot be serialized"):
        asdict(LOGIN)


def test_a_secret_compares_and_hashes_like_its_text() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert SECRET.reveal() == CANARY


def test_every_type_with_secrets_is_checked() -> None:
    nouns = {kind for kind in vars(model).values() if isinstance(kind, type)}
    with_secrets = {
        kind for kind in nouns if any("Secret" in str(each) for each in inspect.get_annotations(kind).values())
    }
    assert with_secrets | {Identity} <= {type(holder) for holder in HOLDERS}


@pytest.mark.parametrize(
    ("issued_at", "expire_time", "expected"),
    [(1000, 1900, 1300), (1000, 1001, 1000), (1000, 1005, 1001), (1000, 87400, 29800)],
)
def test_a_token_is_refreshed_at_a_third_of_its_life(issued_at: int, expire_time: int, expected: int) -> None:
    assert refresh_time(issued_at, expire_time) == expected
