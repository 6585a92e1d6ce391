"""The five times of signing keys that belong together, and what has to hold between them."""

from collections.abc import Iterator
from dataclasses import dataclass

from tokend_server.errors import ConfigError

#: The longest life of a token, in seconds: Cognito's limit of `TokenDuration`.
_LONGEST_TOKEN = 86_400


@dataclass(frozen=True, slots=True)
class KeyTimes:
    """How many seconds lie between the steps in the life of a key.

    Attributes:
        publish_ahead: A key is published for so long before it signs.
        cache_age: Verifiers may keep the key set that they have fetched for so long.
        refresh: A process that serves reads the keys of the store again after so long.
        about_to_sign: So long before it signs, a key can no longer be taken out.
        tokens_last: When another key has begun to sign, tokens of the one before may be valid for so long: their
            longest life, and ten minutes for processes that have yet to read the new key and for verifiers whose clocks
            are slow.

    Raises:
        ConfigError: They do not fit each other; the problems say what that would break.
    """

    publish_ahead: int = 3600
    cache_age: int = 300
    refresh: float = 2.0
    about_to_sign: int = 60
    tokens_last: int = _LONGEST_TOKEN + 600

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise ConfigError(problems)

    @property
    def verifiers_know_by(self) -> float:
        """Seconds from when a key is added until each process publishes it and no verifier keeps an older key set."""
        return self.refresh + self.cache_age

    @property
    def old_key_stops_by(self) -> float:
        """Seconds from when a key begins to sign until the last token of the one before has expired."""
        return self.refresh + _LONGEST_TOKEN

    def _problems(self) -> Iterator[str]:
        if self.refresh <= 0:
            yield f"keys: refresh ({self.refresh} s) must be above 0: processes would never follow the store"
        if self.verifiers_know_by > self.publish_ahead:
            yield (
                f"keys: publish_ahead ({self.publish_ahead} s) must not be below refresh + cache_age "
                f"({self.verifiers_know_by} s): verifiers would refuse the first tokens of a key that they do not know"
            )
        if self.refresh >= self.about_to_sign:
            yield (
                f"keys: about_to_sign ({self.about_to_sign} s) must be above refresh ({self.refresh} s): "
                "a process that has not read yet that a key was taken out would sign with it"
            )
        if self.about_to_sign >= self.publish_ahead:
            yield (
                f"keys: publish_ahead ({self.publish_ahead} s) must be above about_to_sign ({self.about_to_sign} s): "
                "a key that was added by mistake could never be taken out before it signs"
            )
        if self.tokens_last < self.old_key_stops_by:
            yield (
                f"keys: tokens_last ({self.tokens_last} s) must not be below refresh + the longest life of a token "
                f"({self.old_key_stops_by} s): a key could be taken out while tokens that it has signed are valid"
            )


#: The times of this service.
KEY_TIMES = KeyTimes()
