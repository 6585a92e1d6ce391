"""Keys by which requests are equal."""

import hashlib
from collections.abc import Mapping
from datetime import timedelta

import orjson

from tokend_server.model import LookupRequest, Secret, TokenRequest

_MICROSECOND = timedelta(microseconds=1)


def request_key(epoch: int, request: TokenRequest | LookupRequest) -> bytes:
    """Returns a key that two requests share only if all their fields are equal.

    Args:
        epoch: Distinguishes equal requests before and after a change.
        request: The request; all its fields are included, also future ones.

    Returns:
        A SHA-256 digest, which is short and discloses nothing about logins.

    Raises:
        TypeError: A field has a type without a rule.
    """
    # Each field has one type, so that equal JSON is an equal value; only a LookupRequest becomes an object.
    return hashlib.sha256(orjson.dumps((epoch, request), _in_json, orjson.OPT_SORT_KEYS)).digest()


def _in_json(value: object) -> object:
    match value:
        case Secret():
            return value.reveal()
        case timedelta():
            return value // _MICROSECOND
        case Mapping():
            return dict(value)
        case tuple():
            return [*value]
        case _:
            raise TypeError(f"no rule for {type(value).__name__}")
