"""Prepared responses with reusable tokens, so that only the decision to reuse them remains."""

import hashlib
from dataclasses import dataclass, field

import orjson

from tokend_server.lru_cache import LruCache
from tokend_server.mesh.token_mapping import MappedValues
from tokend_server.mesh.tokens import Reusable


@dataclass(frozen=True, slots=True)
class PreparedResponse:
    """A response that was sent.

    Attributes:
        reusable: Its token.
        response: The serialized message, with the token in clear.
    """

    reusable: Reusable
    response: bytes = field(repr=False)


def response_key(caller: str, mapping: str, values: MappedValues) -> bytes:
    """Returns a key that two requests share only if they have the same caller, mapping and values.

    Returns:
        A BLAKE2b digest: it is short, discloses nothing about the user, and costs half as much as SHA-256 by OpenSSL.
        The JSON encoding separates the texts unambiguously.
    """
    return hashlib.blake2b(orjson.dumps((caller, mapping, values.user, values.tags)), digest_size=32).digest()


#: Responses by key.
PreparedResponses = LruCache[PreparedResponse]
