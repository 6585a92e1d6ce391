"""The times of signing keys that belong together, and what has to hold between them."""

from collections.abc import Iterator
from dataclasses import dataclass

from tokend_server.errors import ConfigError

_DAY = 86_400

#: How far the clocks of two processes may be apart, in seconds.
CLOCK_SKEW = 300

#: What an algorithm's keys may be at most in a key set: libraries refuse one above 50 KB, which has 110 keys of RSA.
_MOST_KEYS = 32


@dataclass(frozen=True, slots=True)
class KeyTimes:
    """How many seconds lie between the steps in the life of a key.

    Attributes:
        rotate_every: A key signs for so long; None: until an operator adds the next.
        publish_before: A key is published for so long before it signs; 0: it signs at once.
        cache_age: Verifiers may keep the key set that they have fetched for so long.
        refresh: A process that serves reads the keys of the store again after so long.
        clock_skew: The clocks of two processes differ by so much at most.
        about_to_sign: So long before it signs, a key can no longer be taken out.
        longest_token: No token is valid for longer.
        tokens_last: When another key has begun to sign, tokens of the one before may be valid for so long: their
            longest life, the time until each process signs with the new key, and some for verifiers with slow clocks.
        when_seen: A key signs before its time when all verifiers are seen to have it.

    Raises:
        ConfigError: They do not fit each other; the problems say what that would break.
    """

    rotate_every: int | None = 30 * _DAY
    publish_before: int = 3600
    cache_age: int = 300
    refresh: float = 2.0
    clock_skew: int = CLOCK_SKEW
    about_to_sign: int = 360
    longest_token: int = _DAY
    tokens_last: int = _DAY + 1200
    when_seen: bool = False

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise ConfigError(problems)

    @property
    def verifiers_know_by(self) -> float:
        """Seconds from when a key is added until each process publishes it and no verifier keeps an older key set."""
        return self.refresh + self.cache_age

    @property
    def soonest(self) -> int:
        """Seconds from when a key is added until it may sign, at least."""
        if not self.when_seen:
            return self.publish_before
        return min(self.publish_before, self.cache_age + self.about_to_sign)

    @property
    def shortest_notice(self) -> int:
        """Seconds from when the keys of the store say that a key signs next until it does, at least."""
        return min(self.publish_before, self.about_to_sign) if self.when_seen else self.publish_before

    @property
    def old_key_stops_by(self) -> float:
        """Seconds from when a key begins to sign by one clock until the last token of the one before has expired."""
        return self.verifiers_know_by + self.clock_skew + self.longest_token

    def _problems(self) -> Iterator[str]:
        if self.refresh <= 0:
            yield f"refresh ({self.refresh:g} s) must be above 0: processes would never follow the store"
        if self.refresh + self.clock_skew >= self.about_to_sign:
            yield (
                f"about_to_sign ({self.about_to_sign} s) must be above refresh + clock_skew "
                f"({self.refresh + self.clock_skew:g} s): a process that has not read yet that a key was taken out "
                "would sign with it"
            )
        if self.publish_before:
            yield from self._publishing_problems()
        if self.when_seen:
            yield from self._seeing_problems()
        if self.tokens_last < self.old_key_stops_by:
            yield (
                f"tokens_last ({self.tokens_last} s) must not be below refresh + cache_age + clock_skew + "
                f"longest_token ({self.old_key_stops_by:g} s): a key could be taken out "
                "while tokens that it has signed are valid"
            )
        if self.rotate_every:
            keys = 2 + (self.publish_before + self.tokens_last) // self.rotate_every
            if keys > _MOST_KEYS:
                yield (
                    f"rotate_every ({self.rotate_every} s) would have {keys} keys of an algorithm published at once, "
                    f"more than {_MOST_KEYS}: verifiers would refuse a key set that is so large"
                )

    def _publishing_problems(self) -> Iterator[str]:
        if self.publish_before < self.verifiers_know_by + self.clock_skew:
            yield (
                f"publish_before ({self.publish_before} s) must not be below refresh + cache_age + clock_skew "
                f"({self.verifiers_know_by + self.clock_skew:g} s): verifiers would refuse the first tokens of a key "
                "that they do not know"
            )
        if self.publish_before <= self.about_to_sign:
            yield (
                f"publish_before ({self.publish_before} s) must be above about_to_sign ({self.about_to_sign} s): "
                "a key that was added by mistake could never be taken out before it signs"
            )

    def _seeing_problems(self) -> Iterator[str]:
        soonest = self.cache_age + self.about_to_sign
        if self.publish_before <= soonest:
            yield (
                f"publish_before ({self.publish_before} s) must be above cache_age + about_to_sign ({soonest} s) where "
                "keys sign when seen: none could sign before its time"
            )
        if self.rotate_every and self.rotate_every < 2 * self.publish_before:
            yield (
                f"rotate_every ({self.rotate_every} s) must not be below twice publish_before "
                f"({2 * self.publish_before} s) where keys sign when seen: they would change far more often than "
                "rotate_every says"
            )
