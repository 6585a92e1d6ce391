"""The local engine's signing keys."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from tokend_server.config.durations import Duration, seconds_of
from tokend_server.config.encryption import Encryption
from tokend_server.config.fields import Section
from tokend_server.config.key_times import CLOCK_SKEW, KeyTimes
from tokend_server.config.kms import Kms
from tokend_server.errors import ConfigError

#: The maximum and the minimum time for which verifiers may cache a key set.
_LONGEST_CACHE_AGE, _SHORTEST_CACHE_AGE = 300, 60

#: The reserve for late reads, in seconds.
_LATE = 30


class Keys(Section):
    """The location and the rotation of signing keys."""

    rotate_every: Duration = Field(
        "30d",
        description="How long a key signs, as a number with `s`, `m`, `h` or `d`; `off`: until `tokend keys rotate`",
    )
    publish_before: Duration = Field(
        "1h",
        description="How long a key is published before it signs: longer than any verifier caches keys; `off`: "
        "verifiers that do not fetch keys again for an unknown one refuse its first tokens",
    )
    activate: Literal["after publish_before", "when seen"] = Field(
        "after publish_before",
        description="When the next key signs: after `publish_before`, or earlier once every verifier that fetched keys "
        "within the last day has it",
    )
    signer: Literal["store", "aws-kms"] = Field(
        "store", description="Location of new keys: in the store, or in AWS KMS, which they never leave"
    )
    kms: Kms = Kms()
    encryption: Encryption = Encryption()

    def _own_problems(self) -> Iterator[str]:
        yield from self._region_problems()
        try:
            _ = self.times
        except ConfigError as error:
            yield from error.problems

    def _region_problems(self) -> Iterator[str]:
        if self.kms.region:
            return
        if self.signer == "aws-kms":
            yield 'kms.region must name the region in which keys are created, for signer = "aws-kms"'
        if any(not each.startswith("arn:") for each in self.encryption.kms_key_ids):
            yield "kms.region must name the region of KMS keys in encryption that are not given as ARNs"

    @property
    def times(self) -> KeyTimes:
        """The times of keys.

        Raises:
            ConfigError: They are inconsistent.
        """
        publish_before = seconds_of(self.publish_before) or 0
        return KeyTimes(
            rotate_every=seconds_of(self.rotate_every),
            publish_before=publish_before,
            cache_age=_cache_age(publish_before),
            when_seen=self.activate == "when seen",
        )


def _cache_age(publish_before: int) -> int:
    """Returns the seconds for which verifiers may cache a key set, so that they have each key before it signs."""
    if not publish_before:
        return 0
    return min(_LONGEST_CACHE_AGE, max(_SHORTEST_CACHE_AGE, publish_before - CLOCK_SKEW - _LATE))
