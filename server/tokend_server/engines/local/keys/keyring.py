"""The states of signing keys: pure functions of the keys and the time.

A key is published from the moment that it is kept. It signs from `signs_from` on, until a newer generation of its
algorithm does. It stays published after that, for the tokens that it has signed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from operator import attrgetter

from tokend_server.config import KeyTimes
from tokend_server.model import NumericDate, Secret


class SigningAlgorithm(StrEnum):
    """The JWS algorithms (RFC 7518, section 3.1) that a pool may sign with."""

    RS512 = "RS512"
    RS256 = "RS256"
    ES256 = "ES256"


class KeyState(Enum):
    """What a key does at a moment."""

    PUBLISHED = "published"
    SIGNING = "signing"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key and its place in the succession of keys.

    Attributes:
        kid: The key's RFC 7638 thumbprint, so that two keys never share a name.
        algorithm: The one algorithm that it signs with.
        generation: 1 for the algorithm's first key, and so on; unique for an algorithm.
        material: What the key manager needs to sign with it.
        creation_date: When it was made.
        signs_from: When it begins to sign.
    """

    kid: str
    algorithm: SigningAlgorithm
    generation: int
    material: Secret
    creation_date: NumericDate
    signs_from: NumericDate


def succession(keys: Iterable[SigningKey], algorithm: SigningAlgorithm) -> list[SigningKey]:
    """The keys of an algorithm, newest generation first."""
    return sorted((key for key in keys if key.algorithm is algorithm), key=attrgetter("generation"), reverse=True)


def signing_key(candidates: Sequence[SigningKey], now: float) -> SigningKey | None:
    """The key of a succession that signs now: the newest whose time has come.

    While none has, as after a clock was set back, the first of all goes on: verifiers have known it longest.
    """
    for key in candidates:
        if key.signs_from <= now:
            return key
    return candidates[-1] if candidates else None


def key_state(key: SigningKey, keys: Iterable[SigningKey], now: float) -> KeyState:
    """What one of the keys does now."""
    if signing_key(succession(keys, key.algorithm), now) == key:
        return KeyState.SIGNING
    return KeyState.PUBLISHED if key.signs_from > now else KeyState.RETIRED


def tokens_expired_by(key: SigningKey, keys: Iterable[SigningKey], times: KeyTimes) -> NumericDate | None:
    """When no token of one of the keys is valid any more; None while no newer key follows it."""
    followers = (each for each in succession(keys, key.algorithm) if each.generation > key.generation)
    return min((each.signs_from + times.tokens_last for each in followers), default=None)
