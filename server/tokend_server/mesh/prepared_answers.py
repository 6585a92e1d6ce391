"""Answers with a token that is given out again: all but the decision to do so is there already."""

import hashlib
from dataclasses import dataclass, field

import orjson

from tokend_server.latest import Latest
from tokend_server.mesh.token_mapping import MappedValues
from tokend_server.mesh.tokens import Reusable


@dataclass(frozen=True, slots=True)
class PreparedAnswer:
    """An answer that was given.

    Attributes:
        reusable: The token in it.
        response: The serialized message, with the token in clear.
    """

    reusable: Reusable
    response: bytes = field(repr=False)


def answer_key(caller: str, mapping: str, values: MappedValues) -> bytes:
    """A key that two requests share only if they are of one caller and one mapping, and have the same values.

    Returns:
        A BLAKE2b digest: short, nothing of a user can be read from it, and half the cost of SHA-256 by OpenSSL. JSON
        tells texts, and where they end.
    """
    return hashlib.blake2b(orjson.dumps((caller, mapping, values.user, values.tags)), digest_size=32).digest()


#: Answers by their keys.
PreparedAnswers = Latest[PreparedAnswer]
