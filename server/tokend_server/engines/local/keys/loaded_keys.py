"""The keys of one read of the key store, ready to sign and to be published."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joserfc.jwk import ECKey, RSAKey

from tokend_server.clock import Clock
from tokend_server.config import KeyTimes
from tokend_server.engines.local.keys.jws import JwsSigner
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey, succession, tokens_expired_by
from tokend_server.engines.local.keys.manager import KeyManager, PrivateKey


@dataclass(frozen=True, slots=True)
class LoadedKeys:
    """An immutable snapshot of the keys.

    Attributes:
        records: All keys.
        opened: The opened keys, by `kid`.
        failures: The errors of keys that could not be opened in their current form, by `kid`; earlier forms stay open.
        successions: The opened keys by algorithm, the newest first.
        signers: The signers of the opened keys.
        published_until: When the last token of each opened key must expire, because others may then remove the key.
        held: The keys that must not sign yet, with the monotonic time until which they must not.
        jwks: The opened keys as a JWK Set (RFC 7517, section 5).
    """

    records: tuple[SigningKey, ...]
    opened: Mapping[str, PrivateKey]
    failures: Mapping[str, Exception]
    successions: Mapping[SigningAlgorithm, Sequence[SigningKey]]
    signers: Mapping[str, JwsSigner]
    published_until: Mapping[str, float]
    held: Mapping[str, float]
    jwks: bytes

    @property
    def unpublished(self) -> Sequence[SigningKey]:
        """Returns the keys that other processes may publish but this one does not."""
        return [record for record in self.records if record.kid not in self.opened]


#: The keys before the first read.
NO_KEYS = LoadedKeys((), {}, {}, dict.fromkeys(SigningAlgorithm, ()), {}, {}, {}, b'{"keys": []}')


def load_keys(  # noqa: PLR0913, PLR0917 - a read, and all that its evaluation needs
    records: tuple[SigningKey, ...],
    manager: KeyManager,
    before: LoadedKeys,
    kept_until: float,
    times: KeyTimes,
    clock: Clock,
) -> LoadedKeys:
    """Opens the keys of a read, except those that are already open.

    A key that was stored late, for example because its process was stopped, signs only when no verifier still caches an
    earlier key set. Keys that exist at the first read may sign at once.

    Args:
        records: All keys.
        manager: Opens them.
        before: The last read.
        kept_until: The monotonic time until which verifiers cache key sets that were served since the last read.
        times: The times of keys.
        clock: The time.
    """
    opened, failures = _open(records, manager, before)
    usable = [record for record in records if record.kid in opened]
    ends = {record.kid: tokens_expired_by(record, records, times) for record in usable}
    return LoadedKeys(
        records,
        opened,
        failures,
        successions={algorithm: succession(usable, algorithm) for algorithm in SigningAlgorithm},
        signers={record.kid: JwsSigner(record, opened[record.kid]) for record in usable},
        published_until={kid: math.inf if end is None else end - times.clock_skew for kid, end in ends.items()},
        held=_held(records, before, kept_until, times, clock),
        jwks=_jwks(usable, opened),
    )


def _open(
    records: Sequence[SigningKey], manager: KeyManager, before: LoadedKeys
) -> tuple[dict[str, PrivateKey], dict[str, Exception]]:
    opened = {record.kid: before.opened[record.kid] for record in records if record.kid in before.opened}
    failures = dict[str, Exception]()
    materials = {record.kid: record.material for record in before.records if record.kid not in before.failures}
    for record in records:
        if materials.get(record.kid) != record.material:
            try:
                opened[record.kid] = manager.open(record)
            except Exception as error:  # noqa: BLE001 - the other keys must be loaded after any error
                failures[record.kid] = error
    return opened, failures


def _held(
    keys: Sequence[SigningKey], before: LoadedKeys, kept_until: float, times: KeyTimes, clock: Clock
) -> dict[str, float]:
    now = clock.monotonic()
    held = {key.kid: before.held[key.kid] for key in keys if before.held.get(key.kid, now) > now}
    known = {key.kid for key in before.records}
    for key in keys if known else ():
        lead = min(times.propagation_time, key.signs_from - key.creation_date)
        signs_soon = key.signs_from - clock.now() < lead + times.clock_skew
        if key.kid not in known and lead > 0 and signs_soon:
            held[key.kid] = min(now + lead, kept_until)
    return held


def _jwks(records: Sequence[SigningKey], keys: Mapping[str, PrivateKey]) -> bytes:
    return json.dumps({"keys": [_public_jwk(record, keys[record.kid].public_key) for record in records]}).encode()


def _public_jwk(record: SigningKey, key: RSAKey | ECKey) -> dict[str, Any]:
    members = key.as_dict(private=False)
    return {
        "kty": members.pop("kty"),
        "alg": record.algorithm.value,
        "use": "sig",
        "kid": record.kid,
        **{name: members[name] for name in ("n", "e", "crv", "x", "y") if name in members},
    }
