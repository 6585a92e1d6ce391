"""Requests of the contract."""

from collections.abc import Callable, Mapping

from tests.fuzz.choices import Choices, Json, Make
from tests.fuzz.service import (
    CANARY,
    DEVELOPER,
    GET,
    LONGEST,
    LOOKUP,
    MERGE,
    OPS_POOL,
    PROVIDERS,
    SHOP_POOL,
    TAG,
    UNLINK,
    USERS,
)


def request(choices: Choices) -> Json:
    """Returns a request within or beyond its limits."""
    method = choices.one(GET, LOOKUP, MERGE, UNLINK)
    return {
        "method": method,
        "fields": {name: make(choices) for name, make in _FIELDS[method].items()},
        "peer": choices.made(
            lambda: choices.one("ipv4:10.0.0.1:50000", "ipv6:%5B::1%5D:50000", "unix:", ""), choices.latin
        ),
        "seconds_left": choices.one(0.0, 0.001) if choices.rarely(30) else choices.one(1e18, 10.0),
    }


def changed_request(choices: Choices) -> Json:
    """Returns a request whose bytes are changed; without any fields the changes are all its bytes."""
    made = request(choices)
    return {"method": made["method"], "fields": {} if choices.rarely(6) else made["fields"], "edits": choices.edits()}


def _pool(choices: Choices) -> str:
    if choices.rarely(8):
        return choices.made(
            lambda: choices.one("", "nowhere:0", "a:", f"{SHOP_POOL}\n"), choices.text, lambda: choices.long(55)
        )
    return OPS_POOL if choices.rarely(12) else SHOP_POOL


def _identity(choices: Choices) -> str:
    if choices.rarely(5):
        return choices.made(lambda: choices.one("eu-west-1:0", SHOP_POOL), choices.text, lambda: choices.long(55))
    return choices.one("", *USERS)  # a user stands for its identity


def _provider(choices: Choices) -> str:
    if choices.rarely(5):
        return choices.made(
            lambda: choices.one("graph.facebook.com", "cognito-identity.amazonaws.com"),
            choices.text,
            lambda: choices.long(128),
        )
    return DEVELOPER


def _secret(limit: int) -> Make:
    def make(choices: Choices) -> str:
        if choices.rarely(4):
            return CANARY + choices.made(choices.text, lambda: choices.long(limit - len(CANARY)))
        return choices.one(*USERS, f"{CANARY}-{choices.number(0, 99)}", "")

    return make


def _map(choices: Choices, key: Callable[[], str], limit: int, longest: int) -> Json:
    if choices.rarely(20):
        return {f"key {number}": CANARY for number in range(choices.one(limit, limit + 1, 20 * limit))}
    return dict(choices.several(lambda: (key(), _secret(longest)(choices)), 3))


def _logins(choices: Choices) -> Json:
    def key() -> str:
        return choices.made(lambda: choices.one(*PROVIDERS, *_OTHER_PROVIDERS), choices.text)

    others = _map(choices, key, 10, 50_000)
    return others if choices.rarely(6) else {DEVELOPER: _secret(50_000)(choices), **others}


def _tags(choices: Choices) -> Json:
    def key() -> str:
        return choices.made(lambda: choices.one(TAG, TAG, "role"), choices.text, lambda: choices.long(128))

    return _map(choices, key, 50, 256) if choices.rarely(3) else {}


def _duration(choices: Choices) -> Json:
    if not choices.rarely(3):
        return None
    seconds = choices.one(1, 0, -1, LONGEST, LONGEST + 1, 86_400, 86_401, 2**63 - 1, -(2**63))
    return {"seconds": seconds, "nanos": choices.one(0, 0, 0, 1, -1, 10**9, 2**31 - 1, -(2**31))}


def _number(choices: Choices) -> int:
    return choices.one(0, 1, 2, -1, 59, 60, 61, 2**31 - 1, -(2**31))


def _next_token(choices: Choices) -> str:
    if choices.rarely(8):
        return choices.made(choices.text, lambda: choices.long(65_535))
    return choices.one("", "A" * 43 + "=", "=" * 44)


_FIELDS: Mapping[str, Mapping[str, Make]] = {
    GET: {
        "identity_pool_id": _pool,
        "identity_id": _identity,
        "logins": _logins,
        "principal_tags": _tags,
        "token_duration": _duration,
    },
    LOOKUP: {
        "identity_pool_id": _pool,
        "identity_id": _identity,
        "developer_user_identifier": _secret(1024),
        "max_results": _number,
        "next_token": _next_token,
    },
    MERGE: {
        "identity_pool_id": _pool,
        "developer_provider_name": _provider,
        "source_user_identifier": _secret(1024),
        "destination_user_identifier": _secret(1024),
    },
    UNLINK: {
        "identity_pool_id": _pool,
        "identity_id": _identity,
        "developer_provider_name": _provider,
        "developer_user_identifier": _secret(1024),
    },
}

_OTHER_PROVIDERS = (
    *("accounts.google.com", "graph.facebook.com", "cognito-identity.amazonaws.com", ""),
    "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_other",
)
