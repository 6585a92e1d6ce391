"""The service's own AWS credentials."""

import threading
from collections.abc import Callable, Mapping

import botocore.session
from botocore.config import Config as BotoConfig
from botocore.credentials import Credentials, DeferredRefreshableCredentials, ReadOnlyCredentials
from botocore.exceptions import NoCredentialsError

from tokend_server.clock import Clock
from tokend_server.engines.cognito.transport import bound_connections

_ROLE_SESSION_NAME = "tokend"

#: Seconds before a search that found nothing is repeated: some places where credentials may be answer slowly.
_SEARCH_PAUSE = 5.0


class SoughtCredentials(Credentials):
    """Credentials that are looked for when they are needed, and looked for again until they are found.

    boto3 itself looks when a client is made, and never again if there was nothing.

    Args:
        search: Looks for them; None when there are none.
        clock: The time.
    """

    def __init__(self, search: Callable[[], Credentials | None], clock: Clock) -> None:
        super().__init__("", "", method="tokend")
        self._search = search
        self._clock = clock
        self._lock = threading.Lock()
        self._found: Credentials | None = None
        self._search_again_at = clock.monotonic()

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """The credentials as of now, refreshed if need be.

        Raises:
            botocore.exceptions.BotoCoreError: There are none, or they cannot be had.
        """
        found = self._found or self._look()
        if found is None:
            raise NoCredentialsError
        return found.get_frozen_credentials()

    def _look(self) -> Credentials | None:
        with self._lock:
            if self._found is None and self._clock.monotonic() >= self._search_again_at:
                try:
                    self._found = self._search()
                finally:
                    self._search_again_at = self._clock.monotonic() + _SEARCH_PAUSE
            return self._found


def chain_credentials(session: botocore.session.Session, clock: Clock) -> SoughtCredentials:
    """The credentials of boto3's default chain: environment, profile, container, instance."""
    return SoughtCredentials(session.get_credentials, clock)


def role_credentials(
    session: botocore.session.Session, role_arn: str, region: str, sts_config: BotoConfig, source: SoughtCredentials
) -> Credentials:
    """The credentials of a role, assumed by those of `source` and assumed again before they expire."""

    def assume() -> Mapping[str, str]:
        by = source.get_frozen_credentials()
        sts = session.create_client(
            "sts",
            region,
            aws_access_key_id=by.access_key,
            aws_secret_access_key=by.secret_key,
            aws_session_token=by.token,
            config=sts_config,
        )
        bound_connections(sts)
        try:
            assumed = sts.assume_role(RoleArn=role_arn, RoleSessionName=_ROLE_SESSION_NAME)["Credentials"]
        finally:
            sts.close()
        return {
            "access_key": assumed["AccessKeyId"],
            "secret_key": assumed["SecretAccessKey"],
            "token": assumed["SessionToken"],
            "expiry_time": assumed["Expiration"].isoformat(),
        }

    return DeferredRefreshableCredentials(assume, "assume-role")
