"""The scaled-down durations of a run."""

from dataclasses import asdict, dataclass, replace
from math import ceil
from typing import Any, Self

from tokend_server.config import KeyTimes

#: The servers' clocks, as parts of their difference.
CLOCKS = (-0.5, 0.0, 0.5)


@dataclass(frozen=True)
class Scale:
    """Durations in seconds.

    Attributes:
        skew: The difference between the servers' clocks.
        cache: How long verifiers cache keys.
        lead: How long a key is published before it signs.
        every: How long a key signs.
        life: How long a token is valid.
        refresh: The interval at which servers read the keys.
        follows: Whether each of the servers follows the keys of the store.
    """

    skew: float
    cache: int
    lead: int
    every: int
    life: int
    refresh: float = 0.5
    follows: tuple[bool, ...] = (True, True, True)

    def but(self, **changes: Any) -> Self:  # noqa: ANN401 - whatever it has
        """Returns the same with a fault."""
        return replace(self, **changes)

    @property
    def times(self) -> dict[str, Any]:
        """Returns the servers' key times."""
        max_age = self.cache if self.lead else 0
        return asdict(
            KeyTimes(
                rotate_every=self.every,
                publish_before=self.lead,
                cache_age=max_age,
                refresh=self.refresh,
                clock_skew=ceil(self.skew),
                about_to_sign=ceil(self.refresh + self.skew) + 1,
                longest_token=self.life,
                tokens_last=ceil(self.refresh + max_age + self.skew) + self.life + 2,
            )
        )


#: Clocks two minutes apart, and everything else as short as that allows.
TWO_MINUTES_APART = Scale(skew=120, cache=8, lead=150, every=25, life=120)

#: The same within a minute and a half.
SHORT = Scale(skew=4, cache=6, lead=20, every=8, life=20)
