"""The times of signing keys, and the conditions between them."""

from collections.abc import Iterator
from dataclasses import dataclass

from tokend_server.errors import ConfigError

_DAY = 86_400

#: The maximum difference of the clocks of two processes, in seconds.
CLOCK_SKEW = 300

#: The maximum number of an algorithm's keys in a key set: libraries refuse sets above 50 KB, which is 110 RSA keys.
_MAX_KEYS = 32


@dataclass(frozen=True, slots=True)
class KeyTimes:
    """The times in the life of a key, in seconds.

    Attributes:
        rotate_every: How long a key signs; None: until an operator adds the next.
        publish_before: How long a key is published before it signs; 0: it signs at once.
        cache_age: How long verifiers may cache a key set.
        refresh: The interval at which servers read the keys of the store.
        clock_skew: The maximum difference of the clocks of two processes.
        about_to_sign: How long before it signs a key can no longer be removed.
        longest_token: The maximum duration of a token.
        tokens_last: How long tokens of a key may be valid after the next key has started to sign: their maximum
            duration, the time until each server signs with the new key, and a reserve for verifiers with slow clocks.
        when_seen: Whether a key signs early once all verifiers have it.

    Raises:
        ConfigError: The times are inconsistent; the problems describe the consequences.
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
    def propagation_time(self) -> float:
        """Seconds from a key's addition until all servers publish it and no verifier caches an older key set."""
        return self.refresh + self.cache_age

    @property
    def min_signing_delay(self) -> int:
        """The minimum number of seconds from a key's addition until it may sign."""
        if not self.when_seen:
            return self.publish_before
        return min(self.publish_before, self.cache_age + self.about_to_sign)

    @property
    def min_notice(self) -> int:
        """The minimum number of seconds from a change in the store by which a key signs next until it signs."""
        return min(self.publish_before, self.about_to_sign) if self.when_seen else self.publish_before

    @property
    def last_token_expiry(self) -> float:
        """Seconds from a key's first signature by one clock until the last token of the previous key has expired."""
        return self.propagation_time + self.clock_skew + self.longest_token

    def _problems(self) -> Iterator[str]:
        if self.refresh <= 0:
            yield f"refresh ({self.refresh:g} s) must be above 0: servers would never read the store again"
        if self.refresh + self.clock_skew >= self.about_to_sign:
            yield (
                f"about_to_sign ({self.about_to_sign} s) must be above refresh + clock_skew "
                f"({self.refresh + self.clock_skew:g} s): a server that has not yet read the removal of a key would "
                "sign with it"
            )
        if self.publish_before:
            yield from self._publishing_problems()
        if self.when_seen:
            yield from self._when_seen_problems()
        if self.tokens_last < self.last_token_expiry:
            yield (
                f"tokens_last ({self.tokens_last} s) must not be below refresh + cache_age + clock_skew + "
                f"longest_token ({self.last_token_expiry:g} s): a key could be removed "
                "while tokens that it has signed are valid"
            )
        if self.rotate_every:
            keys = 2 + (self.publish_before + self.tokens_last) // self.rotate_every
            if keys > _MAX_KEYS:
                yield (
                    f"rotate_every ({self.rotate_every} s) would have {keys} keys of an algorithm published at once, "
                    f"more than {_MAX_KEYS}: verifiers would refuse such a large key set"
                )

    def _publishing_problems(self) -> Iterator[str]:
        if self.publish_before < self.propagation_time + self.clock_skew:
            yield (
                f"publish_before ({self.publish_before} s) must not be below refresh + cache_age + clock_skew "
                f"({self.propagation_time + self.clock_skew:g} s): verifiers would refuse the first tokens of a key "
                "that they do not know"
            )
        if self.publish_before <= self.about_to_sign:
            yield (
                f"publish_before ({self.publish_before} s) must be above about_to_sign ({self.about_to_sign} s): "
                "a key that was added by mistake could never be removed before it signs"
            )

    def _when_seen_problems(self) -> Iterator[str]:
        min_delay = self.cache_age + self.about_to_sign
        if self.publish_before <= min_delay:
            yield (
                f"publish_before ({self.publish_before} s) must be above cache_age + about_to_sign ({min_delay} s) if "
                "keys sign when seen: no key could sign early"
            )
        if self.rotate_every and self.rotate_every < 2 * self.publish_before:
            yield (
                f"rotate_every ({self.rotate_every} s) must not be below twice publish_before "
                f"({2 * self.publish_before} s) if keys sign when seen: they would change far more often than "
                "rotate_every"
            )
