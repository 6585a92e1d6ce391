"""The service's own AWS credentials."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from copy import copy
from dataclasses import dataclass
from functools import cache, partial

import botocore.session
from botocore.config import Config as BotoConfig
from botocore.credentials import (
    Credentials,
    DeferredRefreshableCredentials,
    ReadOnlyCredentials,
    create_credential_resolver,
)
from botocore.exceptions import NoCredentialsError

from tokend_server.aws.botocore_internals import needs_renewal
from tokend_server.aws.transport import CURRENT_UPSTREAM_CALL, bound_connections
from tokend_server.clock import Clock

_ROLE_SESSION_NAME = "tokend"

#: Seconds before a search without a result is repeated: some sources of credentials answer slowly.
_SEARCH_PAUSE = 5.0

#: Seconds before their expiration at which credentials are no longer used. They are renewed long before.
_MIN_REMAINING_SECONDS = 60

#: The timeout of waits for credentials outside of calls, in seconds.
_FETCH_TIMEOUT = 1.0


@dataclass(frozen=True, repr=False)
class _Fetched:
    """The credentials of one renewal, which are secrets.

    Attributes:
        frozen: The credentials.
        source: A copy of their source at that time: the next renewal changes its expiration.
    """

    frozen: ReadOnlyCredentials
    source: Credentials


class BackgroundCredentials(Credentials):
    """Credentials that are searched and renewed in a separate thread.

    boto3 searches when a client is created, and never again if there were none. It renews credentials in the thread of
    a call, which may then wait for STS beyond its deadline. Here no call waits while the old credentials are valid.

    Args:
        search: Searches for credentials; returns None if there are none.
        clock: The time.
    """

    def __init__(self, search: Callable[[], Credentials | None], clock: Clock) -> None:
        super().__init__("", "", method="tokend")
        self._search = search
        self._clock = clock
        self._lock = threading.Lock()
        self._found: Credentials | None = None
        self._current: _Fetched | None = None
        self._fetching: Future[ReadOnlyCredentials] | None = None
        self._search_again_at = clock.monotonic()

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Returns the current credentials. If none are valid, waits for them until the current call's deadline.

        Raises:
            botocore.exceptions.BotoCoreError: There are none, or they cannot be fetched.
            TimeoutError: They cannot be fetched in time.
        """
        current = self._current
        if current is not None and not needs_renewal(current.source):
            return current.frozen
        fetching = self._fetch()
        if current is not None and not needs_renewal(current.source, _MIN_REMAINING_SECONDS):
            return current.frozen
        call = CURRENT_UPSTREAM_CALL.get()
        return fetching.result(call.deadline.remaining() if call else _FETCH_TIMEOUT)

    def _fetch(self) -> Future[ReadOnlyCredentials]:
        with self._lock:
            if self._fetching is not None:
                return self._fetching
            fetching = self._fetching = Future()
        try:
            threading.Thread(target=self._run, args=(fetching,), name="credentials", daemon=True).start()
        except RuntimeError:  # no thread can be started: this call fetches them itself, without a timeout
            self._run(fetching)
        return fetching

    def _run(self, fetching: Future[ReadOnlyCredentials]) -> None:
        fetched: ReadOnlyCredentials | BaseException
        try:
            found = self._find()
            fetched = found.get_frozen_credentials()
            self._current = _Fetched(fetched, copy(found))
        except BaseException as error:  # noqa: BLE001 - those who wait raise it
            fetched = error
        with self._lock:
            self._fetching = None
        if isinstance(fetched, BaseException):
            fetching.set_exception(fetched)
        else:
            fetching.set_result(fetched)

    def _find(self) -> Credentials:
        if self._found is None and self._clock.monotonic() >= self._search_again_at:
            self._found = self._search()
            self._search_again_at = self._clock.monotonic() + _SEARCH_PAUSE
        if self._found is None:
            raise NoCredentialsError
        return self._found


def chain_credentials(session: botocore.session.Session, clock: Clock) -> BackgroundCredentials:
    """Returns the credentials of boto3's default chain: environment, profile, container, instance.

    The chain is not the session's own, so that the session's clients can use these credentials.
    """
    chain = cache(partial(create_credential_resolver, session))
    return BackgroundCredentials(lambda: chain().load_credentials(), clock)


def role_credentials(
    session: botocore.session.Session, role_arn: str, region: str, sts_config: BotoConfig, clock: Clock
) -> BackgroundCredentials:
    """Returns the credentials of a role that is assumed with those of the default chain."""

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
    return BackgroundCredentials(lambda: role, clock)
