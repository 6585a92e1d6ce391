"""The key manager on AWS KMS."""

import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from joserfc.jwk import ECKey, RSAKey

from tokend_server.clock import Clock, Deadline
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.kms_api import KmsApi
from tokend_server.engines.local.keys.kms_fault_rows import ERROR_CODES, NO_KEY, ROWS
from tokend_server.engines.local.keys.kms_key import KmsKey
from tokend_server.engines.local.keys.kms_material import KmsMaterial, read_material, read_public_key, region_of
from tokend_server.engines.local.keys.kms_regions import KmsRegion, KmsRegions
from tokend_server.engines.local.keys.manager import check_public_key, unusable
from tokend_server.errors import ConfigError, EngineCredentialsRejected, EngineMisconfigured, TokendError
from tokend_server.model import Secret

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

#: The key specs of the algorithms (API reference of CreateKey, KeySpec).
KEY_SPECS: Mapping[SigningAlgorithm, str] = {
    SigningAlgorithm.RS512: "RSA_2048",
    SigningAlgorithm.RS256: "RSA_2048",
    SigningAlgorithm.ES256: "ECC_NIST_P256",
}

#: The usage of keys (API reference of CreateKey, KeyUsage).
KEY_USAGE = "SIGN_VERIFY"

#: The forms of key names (API reference of DescribeKey, KeyId).
_KEY_ID = re.compile(
    r"(arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:)?alias/[\w/-]{1,250}|(arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:key/)?[A-Za-z0-9-]{1,64}",
    re.ASCII,
)

#: Days after which KMS deletes a key that was never stored: the minimum (API reference of ScheduleKeyDeletion).
_MIN_DELETION_DAYS = 7

#: Seconds between attempts to use a new key, which is not known everywhere in KMS at once.
_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)

#: The errors in the meantime: there is no such key, or access is denied.
_NOT_YET_KNOWN = frozenset({NO_KEY.text, ERROR_CODES["AccessDeniedException"].text})

#: Seconds without new keys after a new key was unusable, so that a lasting problem does not fill KMS with keys.
_GENERATION_PAUSE = 300.0

#: The data of the test signature of a new key.
_TEST_DATA = b"tokend: the first signature of a key"


@dataclass(frozen=True, slots=True)
class NewKeys:
    """The settings of new keys and of their deletion.

    Attributes:
        region: The Region in which they are created; None if none can be created.
        owner: Their owner, for people who find them in KMS.
        policy: Their key policy as JSON; None for KMS's default.
        deletion_window_days: Days after which KMS deletes a key whose record is removed; None to keep it.
    """

    region: str | None
    owner: str
    policy: str | None = None
    deletion_window_days: int | None = None

    def create_request(self, algorithm: SigningAlgorithm, generation: int) -> Mapping[str, object]:
        """Returns the request of CreateKey. Policies may use the tag `tokend`."""
        tags = {"tokend": "signing-key", "tokend:algorithm": algorithm.value, "tokend:generation": str(generation)}
        return {
            "KeySpec": KEY_SPECS[algorithm],
            "KeyUsage": KEY_USAGE,
            "Description": f"tokend {self.owner}: {algorithm.value} signing key, generation {generation}",
            "Tags": [{"TagKey": name, "TagValue": value} for name, value in tags.items()],
            **({"Policy": self.policy} if self.policy else {}),
        }


class KmsKeys:
    """The `KeyManager` whose `material` names a key in KMS.

    Args:
        regions: KMS in each region.
        new_keys: The settings of new keys and of their deletion.
        clock: The time.
    """

    def __init__(self, regions: KmsRegions, new_keys: NewKeys, clock: Clock) -> None:
        self._regions = regions
        self._new_keys = new_keys
        self._clock = clock
        self._sleep: Callable[[float], None] = time.sleep
        self._last_failure: tuple[float, TokendError] | None = None

    def generate(self, algorithm: SigningAlgorithm, generation: int) -> tuple[RSAKey | ECKey, Secret]:
        if self._last_failure and self._clock.monotonic() < self._last_failure[0]:
            raise self._last_failure[1].with_traceback(None)
        created = self._api_of_new_keys().call("CreateKey", self._new_keys.create_request(algorithm, generation))
        key_arn: str = created["KeyMetadata"]["Arn"]
        try:
            return self.tested_key(key_arn, algorithm, is_ours=True)
        except TokendError as error:
            self._last_failure = self._clock.monotonic() + _GENERATION_PAUSE, error
            self._delete(key_arn, _MIN_DELETION_DAYS)
            raise

    def open(self, key: SigningKey) -> KmsKey:
        try:
            material = read_material(key.material)
            public_key = read_public_key(material.public_key)
        except ValueError:
            raise unusable(key) from None
        check_public_key(key, public_key)
        region = self._region_of(material.key_arn)
        quota = region.quota_of(key.algorithm)
        return KmsKey(region.api, material.key_arn, key.algorithm, public_key, quota, self._clock)

    def discard(self, key: SigningKey, *, was_kept: bool) -> None:
        try:
            material = read_material(key.material)
        except ValueError:
            return  # it names no key
        days = self._new_keys.deletion_window_days if was_kept else _MIN_DELETION_DAYS
        if material.is_ours and days:
            self._delete(material.key_arn, days)
        elif material.is_ours:
            _log.info(
                "a signing key was removed from the store and stays in AWS KMS", extra={"kms_key": material.key_arn}
            )

    def tested_key(self, key_arn: str, algorithm: SigningAlgorithm, *, is_ours: bool) -> tuple[RSAKey | ECKey, Secret]:
        """Returns the public key and the `material` of a key in KMS after a test signature.

        Raises:
            EngineUnavailable: KMS does not answer.
            LastingError: KMS refuses the use of the key until an operator acts.
        """
        region = self._regions.of(region_of(key_arn))
        response = self._retry_while_unknown(
            lambda: region.api.call("GetPublicKey", {"KeyId": key_arn}), is_ours=is_ours
        )
        try:
            public_key = read_public_key(response["PublicKey"])
        except ValueError:
            raise ROWS.not_service.to_error() from None
        key = KmsKey(region.api, key_arn, algorithm, public_key, None, self._clock)
        self._retry_while_unknown(lambda: key.sign(_TEST_DATA, Deadline(self._clock)), is_ours=is_ours)
        return public_key, KmsMaterial(key_arn, response["PublicKey"], is_ours).serialized()

    def describe(self, key_id: str) -> Mapping[str, Any]:
        """Returns KMS's metadata of a key (API reference of DescribeKey, KeyMetadata).

        Args:
            key_id: The key's ARN, an alias's ARN, or a key id or an alias in the Region of new keys.

        Raises:
            ConfigError: It is not the name of a key, or the configuration has no Region for it.
            EngineUnavailable: KMS does not answer.
            LastingError: KMS refuses the request until an operator acts.
        """
        if not _KEY_ID.fullmatch(key_id):
            raise ConfigError([f"{key_id}: is neither alias/NAME, nor the ARN of a key or of an alias, nor a key id"])
        is_arn = key_id.startswith("arn:")
        try:
            api = self._regions.of(region_of(key_id)).api if is_arn else self._api_of_new_keys()
        except ValueError as error:
            raise ConfigError([f"{key_id}: {error}"]) from None
        described: Mapping[str, Any] = api.call("DescribeKey", {"KeyId": key_id})["KeyMetadata"]
        return described

    def _api_of_new_keys(self) -> KmsApi:
        if self._new_keys.region is None:
            raise ConfigError(
                ["keys.kms.region: must name the region in which keys are created, and aliases looked up"]
            )
        return self._regions.of(self._new_keys.region).api

    def _region_of(self, key_arn: str) -> KmsRegion:
        """Returns KMS in the Region of a key, which may differ from that of new keys.

        Raises:
            EngineMisconfigured: The settings do not allow the Region.
        """
        try:
            return self._regions.of(region_of(key_arn))
        except ValueError as reason:
            error = EngineMisconfigured("AWS KMS cannot be called for the signing key.")
            raise error.with_advice(f"keys.kms: {reason}. The key is {key_arn}.") from None

    def _retry_while_unknown(self, act: Callable[[], _Result], *, is_ours: bool) -> _Result:
        """Performs an action on a key, and retries it while not all of KMS knows a new key or its tags.

        Source: "AWS KMS eventual consistency" and "ABAC for AWS KMS" of the KMS developer guide.
        """
        for pause in _PAUSES if is_ours else ():
            try:
                return act()
            except (EngineMisconfigured, EngineCredentialsRejected) as error:
                if error.text not in _NOT_YET_KNOWN:
                    raise
            self._sleep(pause)
        return act()

    def _delete(self, key_arn: str, days: int) -> None:
        try:
            request = {"KeyId": key_arn, "PendingWindowInDays": days}
            self._region_of(key_arn).api.call("ScheduleKeyDeletion", request)
        except TokendError as error:
            _log.warning(
                "an unused signing key is left in AWS KMS",
                extra={"kms_key": key_arn, "error": error.text, "advice": error.advice},
            )
        else:
            _log.info("the deletion of a signing key is scheduled in AWS KMS", extra={"kms_key": key_arn, "days": days})
