"""One reading of the key store, ready to sign and to be published."""

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
    """Keys as they were read; replaced whole, never changed.

    Attributes:
        records: All keys.
        opened: Those that can sign, by their `kid`.
        failures: What kept keys from being opened as they are now, by `kid`; one that was open before still is.
        successions: Those that can sign, by algorithm, the newest first.
        signers: What signs with each of those that can.
        published_until: When the last token of each of those has to expire, for others may take the key out then.
        held: The keys that are not to sign yet, with the reading of the monotonic clock until which they are not.
        jwks: Those that can sign, as a JWK Set (RFC 7517, section 5).
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
        """The keys that other processes may publish, and this one does not."""
        return [record for record in self.records if record.kid not in self.opened]


#: Before the first reading.
NO_KEYS = LoadedKeys((), {}, {}, dict.fromkeys(SigningAlgorithm, ()), {}, {}, {}, b'{"keys": []}')


def load_keys(  # noqa: PLR0913, PLR0917 - a reading, and all that it is seen by
    records: tuple[SigningKey, ...],
    manager: KeyManager,
    before: LoadedKeys,
    kept_until: float,
    times: KeyTimes,
    clock: Clock,
) -> LoadedKeys:
    """Opens the keys of a reading, except those that are open already.

    A key that came late into the store, since its maker was halted, signs only when no verifier keeps a key set of
    before. What is there at the first reading signs at once.

    Args:
        records: All keys.
        manager: Opens them.
        before: The last reading.
        kept_until: When verifiers no longer keep what they were served since that, by the monotonic clock.
        times: The times of keys.
        clock: The time.
    """
    opened, failures = _opened(records, manager, before)
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


def _opened(
    records: Sequence[SigningKey], manager: KeyManager, before: LoadedKeys
) -> tuple[dict[str, PrivateKey], dict[str, Exception]]:
    opened = {record.kid: before.opened[record.kid] for record in records if record.kid in before.opened}
    failures = dict[str, Exception]()
    materials = {record.kid: record.material for record in before.records if record.kid not in before.failures}
    for record in records:
        if materials.get(record.kid) != record.material:
            try:
                opened[record.kid] = manager.open(record)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other keys are to be followed
                failures[record.kid] = error
    return opened, failures


def _held(
    keys: Sequence[SigningKey], before: LoadedKeys, kept_until: float, times: KeyTimes, clock: Clock
) -> dict[str, float]:
    now = clock.monotonic()
    held = {key.kid: before.held[key.kid] for key in keys if before.held.get(key.kid, now) > now}
    known = {key.kid for key in before.records}
    for key in keys if known else ():
        lead = min(times.verifiers_know_by, key.signs_from - key.creation_date)
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
