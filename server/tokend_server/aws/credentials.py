"""The service's own AWS credentials."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from copy import copy
from dataclasses import dataclass

import botocore.session
from botocore.config import Config as BotoConfig
from botocore.credentials import Credentials, DeferredRefreshableCredentials, ReadOnlyCredentials
from botocore.exceptions import NoCredentialsError

from tokend_server.aws.botocore_internals import needs_renewal
from tokend_server.aws.transport import CURRENT_UPSTREAM_CALL, bound_connections
from tokend_server.clock import Clock

_ROLE_SESSION_NAME = "tokend"

#: Seconds before a search that found nothing is repeated: some places where credentials may be answer slowly.
_SEARCH_PAUSE = 5.0

#: Seconds before their end when credentials are not used any more. They are renewed long before.
_TOO_OLD = 60

#: Seconds that code outside of a call waits for credentials.
_PATIENCE = 1.0


@dataclass(frozen=True, repr=False)
class _Held:
    """Credentials of one renewal, which are secrets.

    Attributes:
        frozen: The credentials.
        source: Where they are from, as it was then: the next renewal changes when it says that they end.
    """

    frozen: ReadOnlyCredentials
    source: Credentials


class SoughtCredentials(Credentials):
    """Credentials that are looked for and renewed in a thread of their own.

    boto3 looks when a client is made, and never again if there was nothing; and it renews in the thread of a call, so
    that a call may wait for STS beyond its deadline. Here no call waits while the old ones are good.

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
        self._held: _Held | None = None
        self._fetching: Future[ReadOnlyCredentials] | None = None
        self._search_again_at = clock.monotonic()

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """The credentials as of now. Waits for them, within the current call's time, if there are none that are good.

        Raises:
            botocore.exceptions.BotoCoreError: There are none, or they cannot be had.
            TimeoutError: They cannot be had in time.
        """
        held = self._held
        if held is not None and not needs_renewal(held.source):
            return held.frozen
        fetching = self._fetch()
        if held is not None and not needs_renewal(held.source, _TOO_OLD):
            return held.frozen
        call = CURRENT_UPSTREAM_CALL.get()
        return fetching.result(call.deadline.remaining() if call else _PATIENCE)

    def _fetch(self) -> Future[ReadOnlyCredentials]:
        with self._lock:
            if self._fetching is not None:
                return self._fetching
            fetching = self._fetching = Future()
        try:
            threading.Thread(target=self._run, args=(fetching,), name="credentials", daemon=True).start()
        except RuntimeError:  # the system has no more threads: this call waits for them itself, however long that takes
            self._run(fetching)
        return fetching

    def _run(self, fetching: Future[ReadOnlyCredentials]) -> None:
        fetched: ReadOnlyCredentials | BaseException
        try:
            found = self._look()
            fetched = found.get_frozen_credentials()
            self._held = _Held(fetched, copy(found))
        except BaseException as error:  # noqa: BLE001 - those who wait raise it
            fetched = error
        with self._lock:
            self._fetching = None
        if isinstance(fetched, BaseException):
            fetching.set_exception(fetched)
        else:
            fetching.set_result(fetched)

    def _look(self) -> Credentials:
        if self._found is None and self._clock.monotonic() >= self._search_again_at:
            self._found = self._search()
            self._search_again_at = self._clock.monotonic() + _SEARCH_PAUSE
        if self._found is None:
            raise NoCredentialsError
        return self._found


def chain_credentials(session: botocore.session.Session, clock: Clock) -> SoughtCredentials:
    """The credentials of boto3's default chain: environment, profile, container, instance."""
    return SoughtCredentials(session.get_credentials, clock)


def role_credentials(
    session: botocore.session.Session, role_arn: str, region: str, sts_config: BotoConfig, clock: Clock
) -> SoughtCredentials:
    """The credentials of a role, assumed by those of the default chain."""

    def assume() -> Mapping[str, str]:
        sts = session.create_client("sts", region, config=sts_config)
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

    role = DeferredRefreshableCredentials(assume, "assume-role")
    return SoughtCredentials(lambda: role, clock)
