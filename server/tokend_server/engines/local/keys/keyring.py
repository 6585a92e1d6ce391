"""The states of signing keys: pure functions of the keys and the time.

A key is published as soon as it is stored. It signs from `signs_from` on, until a newer generation of its
algorithm does. It stays published after that, so that the tokens that it has signed can be verified.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from operator import attrgetter

from tokend_server.config import KeyTimes
from tokend_server.model import NumericDate, Secret


class SigningAlgorithm(StrEnum):
    """The JWS algorithms (RFC 7518, section 3.1) with which a pool may sign."""

    RS512 = "RS512"
    RS256 = "RS256"
    ES256 = "ES256"


class KeyState(Enum):
    """The state of a key at a time."""

    PUBLISHED = "published"
    SIGNING = "signing"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key and its position in the succession of keys.

    Attributes:
        kid: The key's RFC 7638 thumbprint, which is unique.
        algorithm: The only algorithm with which it signs.
        generation: 1 for the algorithm's first key, 2 for the second, and so on; unique for an algorithm.
        material: The data with which the key manager opens it.
        creation_date: When it was created.
        signs_from: When it starts to sign.
    """

    kid: str
    algorithm: SigningAlgorithm
    generation: int
    material: Secret
    creation_date: NumericDate
    signs_from: NumericDate


def succession(keys: Iterable[SigningKey], algorithm: SigningAlgorithm) -> list[SigningKey]:
    """Returns the keys of an algorithm, newest generation first."""
    return sorted((key for key in keys if key.algorithm is algorithm), key=attrgetter("generation"), reverse=True)


def signing_key(candidates: Sequence[SigningKey], now: float) -> SigningKey | None:
    """Returns the key of a succession that signs now: the newest whose `signs_from` has passed.

    If there is none, as after a clock was set back, it is the oldest, which most verifiers have.
    """
    for key in candidates:
        if key.signs_from <= now:
            return key
    return candidates[-1] if candidates else None


def key_state(key: SigningKey, keys: Iterable[SigningKey], now: float) -> KeyState:
    """Returns the current state of one of the keys."""
    if signing_key(succession(keys, key.algorithm), now) == key:
        return KeyState.SIGNING
    return KeyState.PUBLISHED if key.signs_from > now else KeyState.RETIRED


def tokens_expired_by(key: SigningKey, keys: Iterable[SigningKey], times: KeyTimes) -> NumericDate | None:
    """Returns the time at which all tokens of a key have expired; None while no newer key follows it."""
    followers = (each for each in succession(keys, key.algorithm) if each.generation > key.generation)
    return min((each.signs_from + times.tokens_last for each in followers), default=None)
