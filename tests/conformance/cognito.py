"""The parts of a run at Cognito itself: guests, a slow rate, and a list of created identities."""

import time
from collections.abc import Callable, Mapping, Sequence

import boto3
from botocore import UNSIGNED
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError
from tests.conformance.names import Json
from tests.conformance.play import Caller, CreateGuest, GuestsRefused

#: How often a throttled call is retried, and the minimum delay in seconds.
_RETRIES = 5
_RETRY_PAUSE = 1.0

#: The maximum number of ids for DeleteIdentities.
_MOST_DELETED = 60


class Visit:
    """Makes calls at a limited rate, retries throttled ones, and records the ids of the created identities.

    Args:
        caller: Makes the calls of the contract.
        create_guest: Creates guests.
        calls_per_second: The rate; 0 for no limit.
        sleep: Waits for this many seconds.

    Attributes:
        identity_ids: The ids, in the order in which they were first seen.
    """

    def __init__(
        self,
        caller: Caller,
        create_guest: CreateGuest,
        calls_per_second: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._caller = caller
        self._create_guest = create_guest
        self._pause = 1 / calls_per_second if calls_per_second else 0.0
        self._sleep = sleep
        self.identity_ids: list[str] = []

    def call(self, operation: str, request: Mapping[str, Json]) -> Json:
        self._sleep(self._pause)
        answer = self._caller(operation, request)
        for _ in range(_RETRIES):
            if answer.get("error") != "TOO_MANY_REQUESTS":
                break
            self._sleep(max(self._pause, _RETRY_PAUSE))
            answer = self._caller(operation, request)
        self._keep(answer.get("IdentityId"))
        return answer

    def create_guest(self, pool: str) -> str:
        self._sleep(self._pause)
        identity_id = self._create_guest(pool)
        self._keep(identity_id)
        return identity_id

    def _keep(self, identity_id: str | None) -> None:
        if identity_id and identity_id not in self.identity_ids:
            self.identity_ids.append(identity_id)


def guests_of_cognito(endpoint_url: str | None) -> CreateGuest:
    """Creates guests like devices, with unsigned GetId."""

    def create_guest(pool: str) -> str:
        region = pool.partition(":")[0]
        config = BotoConfig(signature_version=UNSIGNED)
        client = boto3.client("cognito-identity", region_name=region, endpoint_url=endpoint_url, config=config)
        try:
            identity_id: str = client.get_id(IdentityPoolId=pool)["IdentityId"]
        except (BotoCoreError, ClientError) as error:
            raise GuestsRefused(f"no guests: {error}") from error
        finally:
            client.close()
        return identity_id

    return create_guest


def deletion(identity_ids: Sequence[str]) -> list[str]:
    """The AWS CLI's commands that delete identities."""
    region = identity_ids[0].partition(":")[0] if identity_ids else ""
    batches = [identity_ids[start : start + _MOST_DELETED] for start in range(0, len(identity_ids), _MOST_DELETED)]
    command = f"aws cognito-identity delete-identities --region {region} --identity-ids-to-delete"
    return [" ".join((command, *batch)) for batch in batches]
